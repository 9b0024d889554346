"""Every command that writes something passes the gate first, and holds its outputs meanwhile.

Exports, conversions and second outputs once did neither: two programs that were given the same
name wrote one over the other, and a full disk was met at the end of the work. The tables below name
every free text that a command takes; a new one belongs into one of them.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import flax.serialization
import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.__main__ import COMMANDS, build_parser, main
from fisherdash.potentials import checkpoint, foreign
from fisherdash.settings import ImportSettings
from fisherdash.settings.data import METHOD
from fisherdash.workspace import locks
from tests import networks
from tests.browser import chromium
from tests.potentials import folders
from tests.randomised import random_checkpoint
from tests.workspace.recorded import write

OUTPUTS = {
    "sample": {"--out"},
    "train": {"--out"},
    "solve": {"--out", "--report-out", "--labels-out"},
    "label": {"--export"},
    "simulate": {"--out"},
    "export": {"--out"},
    "landscape": {"--out"},
    "study": {"--out"},
    "convert": {"--out"},
    "import": {"--out"},
    "bench": {"--out", "--chart"},
}
INPUTS = {
    "sample": {"molecule"},
    "inspect": {"data"},
    "train": {"data", "--name"},
    "evaluate": {"checkpoint", "data"},
    "solve": {"checkpoint", "data", "--calculator", "--labels-file"},
    "curve": {"checkpoint", "data", "--test"},
    "label": {"checkpoint", "data"},
    "simulate": {"checkpoints", "--data"},
    "resume": {"run_folder"},
    "compare": {"run_folder", "--reference", "--calculator"},
    "export": {"run_folder", "--native", "--head"},
    "landscape": {"checkpoints", "--data"},
    "study": {"spec", "--scheduler"},
    "convert": {"parameters"},
    "import": {"model"},
    "bench": {"names"},
}

CASES = {
    "sample": "sample H2O --temperature 300 --frames 2 --out {out}.npz",
    "train": "train water.npz --frames 20 --valid 5 --epochs 1 --out {out}",
    "the state of a training": "train water.npz --frames 20 --valid 5 --out {state}",
    "solve": "solve model.safetensors water.npz --out {out}",
    "the report's head": "solve model.safetensors water.npz --out other --report-out {out}",
    "labels": "solve model.safetensors xtb.npz --label-displaced 2 --out other "
    "--labels-out {out}.npz",
    "labels beside": "solve model.safetensors xtb.npz --label-displaced 2 --out {stem}.st",
    "label": "label model.safetensors water.npz --displaced 2 --export {out}.xyz",
    "simulate": "simulate model.safetensors --data water.npz --temperature 300 --out {out}",
    "export of a trajectory": "export run --out {out}.xyz",
    "export of a table": "export run --out {out}.csv",
    "export of a report": "export run --out {out}.html",
    "export of a folder": "export ani.safetensors --native train0 --units hartree --out {out}",
    "landscape": "landscape model.safetensors --data water.npz --out {out}.npz",
    "study": "study spec.toml --workers 0 --out {out}",
    "convert": "convert params.bin --cutoff 3 --units eV --out {out}",
    "import": "import train0 --units hartree --elements H,C,O --out {out}",
    "import of a calculator": "import GFN2-xTB --out {out}",
    "bench": "bench matrix_product --out {out}.json",
    "chart": "bench matrix_product --chart {out}.svg",
}
"""Command lines that would write ``{out}``; commands without a name of their own begin with it."""

INTO_A_RUN = {"judge": "compare run --reference xtb.npz"}
"""What is written into a folder that is there, and that has a lock of its own."""

SPEC = '[[data]]\nfile = "water.npz"\nvalid = 2\ntest = 4\n[[models]]\nframes = 5\nepochs = 1\n'


def texts(parser: argparse.ArgumentParser) -> set[str]:
    """What a command takes that may be any text: names of files among others."""
    return {
        action.option_strings[-1] if action.option_strings else action.dest
        for action in parser._actions
        if action.type is None and action.choices is None and action.nargs != 0
    }


def test_the_tables_know_every_text_that_a_command_takes():
    (commands,) = (one.choices for one in build_parser()._actions if one.dest == "command")
    assert isinstance(commands, dict) and set(commands) == set(COMMANDS)
    for name, parser in commands.items():
        known = OUTPUTS.get(name, set()) | INPUTS.get(name, set())
        assert texts(parser) == known, f"{name}: name its new option above, and give it a case"
    lines = [line.split() for line in CASES.values()]
    for name, options in OUTPUTS.items():
        for option in options:
            assert any(
                line[0] == name and "{" in line[line.index(option) + 1]
                for line in lines
                if option in line
            ), f"{name} {option} has no case"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands read."""
    place = tmp_path_factory.mktemp("inputs")
    dataset.save(networks.water(), place / "water.npz")
    said = dataclasses.replace(networks.water(), source=METHOD)
    dataset.save(said, place / "xtb.npz")
    checkpoint.save(networks.checkpoint(0), place / "model.safetensors")
    folders.write(place / "train0")
    asked = ImportSettings(energy_unit="hartree", elements="H,C,O")
    checkpoint.save(
        foreign.load(place / "train0", asked, name="ani").checkpoint, place / "ani.safetensors"
    )
    write(place / "run")
    (place / "spec.toml").write_text(SPEC)
    model = random_checkpoint(dtype=np.float32)
    dense = {"kernel": model.head[:, None].astype(np.float32)}
    bias = model.element_bias.astype(np.float32)
    params = {**model.body, "Dense_4": dense, "element_bias": bias}
    (place / "params.bin").write_bytes(flax.serialization.to_bytes({"params": params}))
    return place


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the inputs."""
    place = shutil.copytree(inputs, tmp_path / "here")
    monkeypatch.chdir(place)
    return place


def asked(line: str) -> tuple[list[str], Path]:
    """The words of a command that writes ``out``, and that file or folder."""
    words = line.format(out="out", stem="out", state="net").split()
    (option,) = {one for one in line.split() if "{" in one}
    ends = {"{state}": "net.unfinished.npz", "{stem}.st": "out.labels.npz"}
    return words, Path(ends.get(option, option.format(out="out", stem="", state="")))


def refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command ends; nothing was written."""
    before = sorted(path.name for path in Path().iterdir())
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert not out and err.startswith("fisherdash: ") and len(err.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == before
    return err


def skip_without_a_browser(case: str) -> None:
    if case == "chart" and chromium.find() is None:
        pytest.skip("no Chromium on this machine")


@pytest.mark.parametrize("case", [*CASES, *INTO_A_RUN])
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("FISHERDASH_MAX_JOB_HOURS", "this would take about"),
        ("FISHERDASH_MAX_JOB_MEMORY_GB", "of memory, and this server allows"),
        ("FISHERDASH_MAX_RUN_GB", "the files would take"),
    ],
)
def test_no_command_begins_beyond_a_limit(case, limit, said, here, monkeypatch, capfd):
    skip_without_a_browser(case)
    monkeypatch.setenv(limit, "1e-12")
    words = asked(CASES[case])[0] if case in CASES else INTO_A_RUN[case].split()
    assert said in refused(words, capfd)


@pytest.mark.parametrize("case", CASES)
def test_no_command_begins_on_a_full_disk(case, here, monkeypatch, capfd):
    skip_without_a_browser(case)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert "the disk has 0 B left" in refused(asked(CASES[case])[0], capfd)


@pytest.mark.parametrize("case", CASES)
def test_no_command_writes_what_another_program_is_writing(case, here, capfd):
    skip_without_a_browser(case)
    words, out = asked(CASES[case])
    with locks.writing(out):
        said = refused(words, capfd)
    assert f"{out} is being written by another program" in said
    assert not out.exists()
