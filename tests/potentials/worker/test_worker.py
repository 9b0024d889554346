"""The file that runs in another Python: its messages, and what it refuses to open."""

import ast
import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from fisherdash.potentials.worker import worker
from tests.potentials.worker.toy import CONSTANTS, THETA, Toy
from tests.randomised import ETHANOL, displaced_ethanol


class Opened(Toy):
    """A toy as ``hello`` opens it."""

    def __init__(self, data: bytes, options: dict) -> None:
        super().__init__(**json.loads(data))
        self.options = options


@pytest.fixture(autouse=True)
def family(monkeypatch) -> None:
    monkeypatch.setitem(worker.FAMILIES, "toy", Opened)


@pytest.fixture
def hello(tmp_path) -> dict:
    path = tmp_path / "model"
    path.write_text('{"springs": true}')
    return {
        "request": "hello", "version": worker.VERSION, "family": "toy", "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "options": {"charge": 1},
    }  # fmt: skip


def answers(*requests: bytes) -> list[tuple[dict, dict]]:
    """What is answered to these messages, in one session."""
    out = io.BytesIO()
    worker.serve(io.BytesIO(b"".join(requests)), out)
    out.seek(0)
    found = []
    while (message := worker.receive(out)) is not None:
        found.append(message)
    return found


def test_it_needs_numpy_and_nothing_else() -> None:
    for name in ("worker.py", "models.py"):
        tree = ast.parse(Path(worker.__file__).with_name(name).read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names}  # fmt: skip
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"numpy"}


def test_messages_come_back_as_they_were_sent() -> None:
    arrays = {
        "doubles": np.arange(6.0).reshape(2, 3)[:, ::-1],
        "big-endian": np.arange(3, dtype=">i8"),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(2.5),
    }
    stream = io.BytesIO(worker.encode({"request": "x"}, arrays) + b"rest")
    header, found = worker.receive(stream)
    assert header == {"request": "x"} and stream.read() == b"rest"
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert found["big-endian"].dtype.byteorder in "=<"


@pytest.mark.parametrize("kept", [0, 3, 4, 10, -1])
def test_a_message_that_was_cut_is_the_end(kept) -> None:
    assert worker.receive(io.BytesIO(worker.encode({}, {"x": np.ones(3)})[:kept])) is None


def test_a_session(hello) -> None:
    frames = displaced_ethanol(2, amplitude=0.05)
    where = {"numbers": ETHANOL, "positions": frames}
    weights = {"h": np.ones((2, 9, 4)), "fixed": np.ones(2)}
    asked = [
        ({"request": "per_atom"}, where),
        ({"request": "pull"}, where | weights),
        ({"request": "push"}, where | {"tangent": frames}),
        ({"request": "energy_and_forces"}, where),
        ({"request": "energy_and_forces"}, where | {"theta": 2 * THETA}),
    ]
    (told, arrays), *rest = answers(
        worker.encode(hello, {}), *(worker.encode(*one) for one in asked)
    )
    assert told["version"] == worker.VERSION and told["features"] == 4
    assert np.array_equal(arrays["constants"], CONSTANTS)
    toy, numbers = Toy(), ETHANOL
    wanted = [
        toy.per_atom(numbers, frames),
        toy.pull(numbers, frames, list(weights.values())),
        toy.push(numbers, frames, frames),
        toy.energy_and_forces(numbers, frames, None),
        toy.energy_and_forces(numbers, frames, 2 * THETA),
    ]
    for (_, found), expected in zip(rest, wanted, strict=True):
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"version": 99}, "speaks version 1 of the messages, not 99"),
        ({"sha256": "0" * 64}, "is not the file that was trusted"),
    ],
)
def test_another_version_and_another_file_are_refused(hello, wrong, expected) -> None:
    [(header, arrays)] = answers(worker.encode(hello | wrong, {}))
    assert header["error"] == "refused" and expected in header["text"] and not arrays


def test_a_request_that_fails_does_not_end_the_session(hello) -> None:
    frames = displaced_ethanol(1, amplitude=0.05)
    found = answers(
        worker.encode({"request": "per_atom"}, {}),  # before hello
        worker.encode(hello, {}),
        worker.encode({"request": "sing"}, {"numbers": ETHANOL, "positions": frames}),
        worker.encode({"request": "per_atom"}, {"numbers": ETHANOL, "positions": frames}),
    )
    assert [header.get("error") for header, _ in found] == ["KeyError", None, "refused", None]
    assert found[-1][1]["h"].shape == (1, 9, 4)


def test_an_absurd_length_of_a_request_is_the_end() -> None:
    assert answers(struct.pack("<I", 2**32 - 1) + b"{}") == []
