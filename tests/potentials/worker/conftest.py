"""A Python that has the toy, and a workspace that trusts a file of it."""

import hashlib
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fisherdash.potentials.worker import client, trusted


@pytest.fixture(scope="session")
def python(tmp_path_factory) -> str:
    """The program that stands for the user's Python."""
    program = tmp_path_factory.mktemp("theirs") / "python"
    script = Path(__file__).with_name("toy_worker.py")
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {script} "$1"\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def file(tmp_path) -> Callable[..., Path]:
    """Makes the file of a toy, with a fault where one is named."""

    def make(**said: object) -> Path:
        text = json.dumps(said)
        folder = tmp_path / hashlib.sha256(text.encode()).hexdigest()[:8]
        folder.mkdir(exist_ok=True)
        path = folder / "toy.model"
        path.write_text(text)
        return path

    return make


@pytest.fixture
def opened(python, file) -> Callable[..., client.Client]:
    """Starts a toy."""

    def start(**said: object) -> client.Client:
        return client.running(trusted.trust(file(**said), "mace", python), {"mace_head": ""})

    return start


@pytest.fixture(autouse=True)
def nothing_left_running():
    """No process outlives its test."""
    yield
    client.close_all()
