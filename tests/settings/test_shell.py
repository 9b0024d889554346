"""Commands to paste: the shell's own parser reads back what the page did."""

import shlex
from pathlib import Path

from fisherdash.__main__ import build_parser
from fisherdash.md import MDSettings
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.settings import SplitSettings, shell_command
from fisherdash.train import TrainSettings


def parsed(command):
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "fisherdash"]
    return build_parser().parse_args(words[3:])


def test_simulate_comes_back_with_every_setting():
    settings = MDSettings(replicas=3, steps=70, timestep=0.25, temperature=412.5, seed=9,
                          record_every=7, precision="float64", start="relaxed")  # fmt: skip
    paths = [Path("a b.safetensors"), Path("c;rm -rf.safetensors")]
    found = parsed(shell_command("simulate", *paths, settings, data="d.npz", out=Path("run")))
    assert found.checkpoints == [str(path) for path in paths]
    assert MDSettings(
        replicas=found.replicas, steps=found.steps, timestep=found.timestep_fs,
        temperature=found.temperature, seed=found.seed, record_every=found.record_every,
        precision=found.precision, start=found.start,
    ) == settings  # fmt: skip


def test_train_comes_back_with_every_setting(root):
    config = ModelConfig(features=8, max_degree=1, iterations=2, basis=6, cutoff=4.25)
    settings = TrainSettings(epochs=3, batch_size=4, learning_rate=2e-4, forces_weight=50.0,
                             schedule="cosine", average=0.99, clip=1.5, sharpness_radius=0.02,
                             patience=7, seed=5)  # fmt: skip
    path = root / "sample_models" / "ethanol_500K.npz"
    split = SplitSettings(40, 20)
    found = parsed(shell_command("train", path, split, config, settings, out="x.safetensors"))
    assert (found.frames, found.valid, found.resume) == (40, 20, False)
    for wanted in (config, settings):
        for name, value in wanted.to_json().items():
            assert getattr(found, name) == value, name


def test_solve_and_sample_and_compare_are_understood():
    assert parsed(shell_command("solve", "a", "b", out="c", ridge=1e-6, seed=2)).ridge == 1e-6
    assert parsed(shell_command("solve", "a", "b", out="c", ridge="auto")).ridge == "auto"
    sample = shell_command("sample", "H2O", temperature=350.0, frames=9, seed=1, out="w.npz")
    assert parsed(sample).temperature == 350.0
    assert parsed(shell_command("compare", Path("run"), json=True)).json is True
    assert parsed(shell_command("resume", Path("a training"))).run_folder == "a training"


def test_paths_below_the_working_folder_are_short(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command = shell_command("compare", tmp_path / "my runs" / "one")
    assert command == "python -m fisherdash compare 'my runs/one'"
