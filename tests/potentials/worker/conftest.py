"""A Python that has the toy, a workspace that trusts a file of it, and models of the libraries."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from fisherdash.potentials.foreign import Imported
from fisherdash.potentials.worker import client, importing, trusted
from fisherdash.settings import ImportSettings, OutsideSettings
from tests.randomised import ETHANOL, displaced_ethanol

BLANK = ImportSettings()


def asked(python: str, **more) -> OutsideSettings:
    return OutsideSettings(**{"family": "mace", "python": python, "trusted": True} | more)


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


def named_python(variable: str, libraries: str, family: str) -> str:
    """The Python that a variable of the environment names; without one the test is skipped."""
    named = os.environ.get(variable, "")
    if not named:
        pytest.skip(
            f"{variable} names no Python that has {libraries}; "
            f"'make potentials FAMILY={family}' makes one"
        )
    return named


@pytest.fixture(scope="session")
def theirs() -> str:
    """A Python with MACE and so3krates-torch."""
    return named_python("FISHERDASH_OUTSIDE_PYTHON", "MACE and so3krates-torch", "mace")


@pytest.fixture(scope="session")
def nequips() -> str:
    """A Python with NequIP, which wants another e3nn than MACE does."""
    return named_python("FISHERDASH_NEQUIP_PYTHON", "NequIP", "nequip")


@pytest.fixture(scope="session")
def small_nequip(nequips, tmp_path_factory) -> Path:
    """A folder with a NequIP of ethanol, as a checkpoint and as a package."""
    folder, frames = tmp_path_factory.mktemp("nequip"), []
    rng = np.random.default_rng(0)
    for x in displaced_ethanol(25):
        atoms = Atoms(ETHANOL, x)
        atoms.calc = SinglePointCalculator(
            atoms, energy=-4209.6 + rng.normal(), forces=rng.normal(size=x.shape)
        )
        frames.append(atoms)
    write(folder / "frames.xyz", frames)
    script = Path(__file__).with_name("make_nequip.py")
    words = [nequips, "-W", "ignore", script, folder / "frames.xyz", folder]
    subprocess.run(words, check=True)
    return folder


def their_words(python: str, program: str) -> str:
    """What a program prints in their Python."""
    words = [python, "-W", "ignore", "-c", program]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def so3lr_file(theirs) -> Path:
    """The weights that come with so3krates-torch."""
    where = "import importlib.util as u; print(u.find_spec('so3krates_torch').origin)"
    return Path(their_words(theirs, where)).parent / "pretrained" / "so3lr" / "so3lr.model"


@pytest.fixture
def so3lr(theirs, so3lr_file) -> Imported:
    return importing.load(so3lr_file, BLANK, asked(theirs, family="so3lr"), name="so3lr")


@pytest.fixture
def mace(theirs, shared_models) -> Imported:
    """After 15 epochs."""
    unit = ImportSettings(energy_unit="eV")
    path = shared_models / "mace" / "ethanol_e14.model"
    return importing.load(path, unit, asked(theirs), name="mace")


@pytest.fixture(scope="session")
def small_maces(theirs, tmp_path_factory) -> Path:
    """A folder with small MACE models of several kinds."""
    folder = tmp_path_factory.mktemp("maces")
    script = Path(__file__).with_name("make_mace.py")
    subprocess.run([theirs, "-W", "ignore", script, folder], check=True)
    return folder
