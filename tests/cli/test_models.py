"""The tutorial's parameters become a checkpoint that predicts the same, in this project's units."""

import json
from pathlib import Path

import flax.serialization
import numpy as np
import pytest

from fisherdash.__main__ import main
from fisherdash.potentials import checkpoint
from fisherdash.units import KCAL_PER_MOL
from tests.randomised import random_checkpoint


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    model = random_checkpoint(dtype=np.float32)
    params = {
        **model.body,
        "Dense_4": {"kernel": model.head[:, None].astype(np.float32)},
        "element_bias": model.element_bias.astype(np.float32),
    }
    path = tmp_path / "params.bin"
    path.write_bytes(flax.serialization.to_bytes({"params": params}))
    return path


def test_convert(parameters: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.safetensors"
    words = ["convert", str(parameters), "--out", str(out), "--cutoff", "3", "--units", "kcal/mol"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    model = random_checkpoint(dtype=np.float32)
    assert said["features"] == 6 and said["elements"] == [1, 6, 8]
    np.testing.assert_allclose(checkpoint.load(out).head, KCAL_PER_MOL * model.head, rtol=1e-6)


def test_another_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"PK\x03\x04")
    words = ["convert", str(wrong), "--out", str(tmp_path / "m"), "--cutoff", "5", "--units", "eV"]
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert out == "" and "E3x tutorial" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "m").exists()
