"""Whatever the other end does is an answer or one sentence, and no process stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.potentials.worker import client, trusted, worker
from tests.potentials.worker.toy import CONSTANTS, THETA, Toy
from tests.randomised import ETHANOL, displaced_ethanol

FRAMES = displaced_ethanol(3, amplitude=0.05)
WHERE = {"numbers": ETHANOL, "positions": FRAMES}
SHAPES = {"h": (3, 9, 4), "fixed": (3,)}


def test_both_ends_speak_the_same_version_and_the_same_numbers() -> None:
    assert client.VERSION == worker.VERSION


def test_answers_are_those_of_the_library_to_the_last_bit(opened) -> None:
    process, toy = opened(), Toy()
    assert process.facts["features"] == 4 and process.facts["fixed_terms"] == ["springs"]
    assert np.array_equal(process.arrays["theta"], THETA)
    assert np.array_equal(process.arrays["constants"], CONSTANTS)
    for _ in range(3):  # one after the other through the same pipe
        found = process.ask("per_atom", WHERE, SHAPES)
        assert all(np.array_equal(found[k], v) for k, v in toy.per_atom(ETHANOL, FRAMES).items())


def test_large_messages_pass(opened) -> None:
    frames = np.repeat(FRAMES, 700, axis=0)
    where = {"numbers": ETHANOL, "positions": frames}
    found = opened().ask("per_atom", where, {"h": (2100, 9, 4), "fixed": (2100,)})
    assert np.array_equal(found["h"][::700], opened().ask("per_atom", WHERE, SHAPES)["h"])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("package", "lacks what mace needs (No module named 'toy_torch'): install it there"),
        ("refused", "toy.model holds nothing that is linear at its end"),
        ("not finite", "a head that is not finite"),
        ("features", "answered with theta of the shape"),
    ],
)
def test_a_model_that_cannot_be_opened_is_one_sentence(opened, fault, expected) -> None:
    with pytest.raises(InputError) as told:
        opened(fault=fault)
    assert expected in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("crash", "ended (SIGSEGV): Illegal something at 0x0"),
        ("exit", "ended (exit status 3)"),
        ("hang", "gave no answer in time and was ended"),
        ("error", "failed (RuntimeError): this failed ?[31m badly"),
        ("shape", "h of the shape [3, 9, 1] and type '<f8', not [3, 9, 4]"),
        ("type", "type '<f4'"),
        ("names", "arrays named ['h', 'more'], not ['fixed', 'h']"),
        ("length", "a header of 4294967295 bytes"),
        ("no JSON", "a header that is no JSON of a message"),
    ],
)
def test_a_model_that_fails_is_one_sentence_and_can_be_asked_again(
    opened, fault, expected, monkeypatch
) -> None:
    process = opened(fault=fault, after=1)
    process.ask("per_atom", WHERE, SHAPES)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 1.0)
    with pytest.raises(InputError) as told:
        process.ask("per_atom", WHERE, SHAPES)
    assert expected in str(told.value) and "\n" not in str(told.value)
    assert process.alive == (fault == "error")
    client.close_all()
    assert opened(fault=fault, after=1).ask("per_atom", WHERE, SHAPES)["h"].shape == (3, 9, 4)


def test_another_version_is_refused(opened, monkeypatch) -> None:
    monkeypatch.setenv("TOY_VERSION", "7")
    with pytest.raises(InputError, match="speaks version 7 of the messages, not 1"):
        opened()


def test_what_is_no_python_is_refused(file, tmp_path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    silent.chmod(0o755)
    broken = tmp_path / "broken"
    broken.write_text("neither script nor program")
    broken.chmod(0o755)
    for program, expected in ((silent, "exit status 1.: no such module"), (broken, "cannot be")):
        with pytest.raises(InputError, match=expected):
            client.running(trusted.trust(file(), "mace", str(program)), {})


def test_another_file_than_the_trusted_one_is_not_opened(opened, file, python) -> None:
    found = trusted.trust(file(), "mace", python)
    found.path.write_text('{"springs": false}')
    with pytest.raises(InputError, match="is not the file that was trusted"):
        client.running(found, {})


def test_few_processes_are_kept_and_none_after_the_end(opened, file, python) -> None:
    files = [trusted.trust(file(springs=True, seed=n), "mace", python) for n in range(5)]
    found = [client.running(one, {}) for one in files]
    assert [one.alive for one in found] == [False, False, True, True, True]
    assert client.running(files[-1], {}) is found[-1]
    with pytest.raises(InputError, match="was ended; start again"):
        found[0].ask("per_atom", WHERE, SHAPES)
    client.close_all()
    assert not any(one.alive for one in found)


@pytest.mark.parametrize("busy", [False, True])
def test_the_process_ends_with_its_parent(python, file, busy) -> None:
    model = file(fault="hang" if busy else "")
    script = f"""
import sys, time, numpy as np
from pathlib import Path
from fisherdash.potentials.worker import client, trusted
found = client.running(trusted.trust(Path({str(model)!r}), "mace", {python!r}), {{}})
print(found._process.pid, flush=True)
if {busy}:
    where = {{"numbers": np.array([1, 1]), "positions": np.ones((1, 2, 3))}}
    found.ask("per_atom", where, {{"h": (1, 2, 4), "fixed": (1,)}})
time.sleep(1000)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    with parent:
        pid = int(parent.stdout.readline())
        if busy:
            time.sleep(0.5)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _is_there(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its parent"
        time.sleep(0.1)


def _is_there(pid: int) -> bool:
    """Whether it runs; what has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (OSError, FileNotFoundError):
        return False
