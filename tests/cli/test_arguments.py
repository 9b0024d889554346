"""Every wrong argument is answered by one line that says what came and what would be right."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fisherdash import dataset
from fisherdash.__main__ import COMMANDS, main
from fisherdash.potentials import checkpoint
from fisherdash.settings import LoadSettings, settings_of
from fisherdash.units import ENERGY_UNITS
from tests import networks


def refusal(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; asserts the status and that nothing else was printed."""
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    assert status == 2, err
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("fisherdash")
    return err


WRONG_NUMBERS = [
    ("train D --out C --frames -5", "a whole number from 1 to 1000000000, not '-5'"),
    ("train D --out C --valid 0", "a whole number from 1 to 1000000000, not '0'"),
    ("train D --out C --epochs 1.5", "whole number"),
    ("train D --out C --learning-rate 0", "above 0 and at most 1, not '0'"),
    ("train D --out C --learning-rate nan", "above 0 and at most 1, not 'nan'"),
    ("train D --out C --cutoff -3", "from 0.5 to 50 Å, not '-3'"),
    ("train D --out C --forces-weight -1", "from 0 to 1000000000, not '-1'"),
    ("train D --out C --schedule step", "'anneal', 'cosine', 'constant'"),
    ("train D --out C --average 1", "from 0 to below 1, not '1'"),
    ("sample H2O --temperature -300 --frames 5 --out x.npz", "at most 100000 K, not '-300'"),
    ("sample H2O --temperature 300 --frames none --out x.npz", "not 'none'"),
    (
        "solve C D --out E --ridge -1",
        "'auto', 'evidence', 'gcv', 'stable' or a number from 0 to 1000000000000, not '-1'",
    ),
    ("solve C D --out E --ridge inf", "not 'inf'"),
    ("solve C D --out E --holdout 1", "above 0 and below 1, not '1'"),
    ("solve C D --out E --method newton", "'forces', 'laplacian', 'gradient'"),
    ("simulate C --data D --out R --replicas 0", "a whole number from 1 to 1000000, not '0'"),
    ("simulate C --data D --out R --timestep-fs inf", "not 'inf'"),
    ("simulate C --data D --out R --precision float16", "'float32', 'float64'"),
    ("simulate C --data D --out R --temperature 0", "above 0 and at most 100000 K, not '0'"),
    ("simulate C --data D --out R --seed -1", "from 0 to 1000000000000000, not '-1'"),
    ("simulate C --data D --out R --seed 9223372036854775808", "to 1000000000000000, not '9223"),
    ("simulate C --data D --out R --record-every 1e30", "to 1000000000000 steps, not '1e30'"),
    ("solve C D --out E --probes 1000000000", "from 1 to 1000000, not '1000000000'"),
    ("sample H2O --temperature 300 --frames 5 --out x.npz --interval-fs 1e300", "not '1e300'"),
    ("evaluate C D --units MJ", "'eV', 'kcal/mol', 'kJ/mol', 'hartree'"),
    ("app --port 99999", "from 1 to 65535, not '99999'"),
]


@pytest.mark.parametrize(
    ("line", "expected"), WRONG_NUMBERS, ids=[line for line, _ in WRONG_NUMBERS]
)
def test_a_wrong_value_is_named_with_what_would_be_right(line, expected, capfd):
    """Seeds of 2⁶³, 10³⁰ steps and the like once ended in a traceback, or never."""
    assert expected in refusal(line.split(), capfd)


@pytest.mark.parametrize("line", ["", "dance", "train", "simulate --data D --out R", "evaluate C"])
def test_an_incomplete_or_unknown_command(line, capfd):
    assert "--help" in refusal(line.split(), capfd)


@pytest.fixture
def present(tmp_path: Path) -> Path:
    """A file that exists and is neither data nor a checkpoint."""
    path = tmp_path / "present.npz"
    path.write_bytes(b"neither data nor a checkpoint")
    return path


def test_missing_files_are_named(present, capfd, tmp_path):
    out = str(tmp_path / "out")
    missing = str(tmp_path / "missing.npz")
    for line in (
        ["evaluate", missing, str(present)],
        ["train", missing, "--out", out],
        ["solve", missing, str(present), "--out", out],
        ["simulate", missing, "--data", str(present), "--out", out],
        ["compare", missing],
    ):
        sentence = refusal(line, capfd)
        assert missing in sentence and "no such" in sentence
    assert not Path(out).exists()


def test_a_folder_is_not_a_file(tmp_path, capfd):
    assert "is a folder" in refusal(["train", str(tmp_path), "--out", "x"], capfd)


def test_the_place_of_the_result_is_checked_first(present, tmp_path, capfd):
    nowhere = str(tmp_path / "no" / "where.npz")
    for line in (
        ["train", str(present), "--out", nowhere],
        ["sample", "H2O", "--temperature", "300", "--frames", "5", "--out", nowhere],
        ["solve", str(present), str(present), "--out", nowhere],
        ["simulate", str(present), "--data", str(present), "--out", nowhere],
    ):
        assert "there is no folder" in refusal(line, capfd)
    assert "is a folder" in refusal(["train", str(present), "--out", str(tmp_path)], capfd)
    assert "also an input" in refusal(["train", str(present), "--out", str(present)], capfd)
    full = ["simulate", str(present), "--data", str(present), "--out", str(tmp_path)]
    assert "exists already" in refusal(full, capfd)
    not_npz = ["sample", "H2O", "--temperature", "300", "--frames", "5"]
    assert ".npz" in refusal([*not_npz, "--out", str(tmp_path / "a.xyz")], capfd)
    assert present.read_bytes() == b"neither data nor a checkpoint"


def test_a_file_of_another_kind_is_refused(present, tmp_path, capfd):
    refusal(["train", str(present), "--out", str(tmp_path / "c")], capfd)
    refusal(["evaluate", str(present), str(present)], capfd)
    refusal(["compare", str(tmp_path)], capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["present.npz"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Names for ``line``: water and a network, each under names that an output could have."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("water.npz", "w.labels.npz", "w.unfinished.npz"):
        dataset.save(networks.water(), folder / name)
    for name in ("net", "net.npz"):
        checkpoint.save(networks.checkpoint(0), folder / name)
    return folder


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train w.unfinished.npz --out w --frames 20 --valid 5 --epochs 1", "also an input"),
        ("landscape net net.npz --data water.npz --out net.npz", "also an input"),
        ("solve net w.labels.npz --out w.st --label-displaced 2 --quick", "also an input"),
        ("solve net water.npz --out w.labels.npz --labels-file w.labels.npz", "also an input"),
        ("solve net water.npz --out a.npz --labels-out a.npz --labels-file w.labels.npz",
         "two names"),
        ("solve net water.npz --out a --report-out a", "two names"),
        ("solve net water.npz --out a --report-out ./b.npz --labels-out b.npz --labels-file "
         "w.labels.npz", "two names"),
    ],
)  # fmt: skip
def test_no_output_replaces_an_input_or_another_output(inputs, monkeypatch, line, said, capfd):
    monkeypatch.chdir(inputs)
    before = {path.name: path.read_bytes() for path in inputs.iterdir()}
    assert said in refusal(line.split(), capfd)
    assert {path.name: path.read_bytes() for path in inputs.iterdir()} == before


@pytest.mark.parametrize(
    "line",
    ["convert PIPE --out x --cutoff 5 --units eV", "sample PIPE.xyz --temperature 300 --frames 1 "
     "--out x.npz", "study PIPE --out x", "inspect PIPE", "compare RUN", "resume RUN",
     "export RUN --out x.csv", "study STUDY/study.toml --out STUDY", "import PIPE --out x"],
)  # fmt: skip
def test_a_pipe_is_not_waited_for(tmp_path, monkeypatch, line, capfd):
    monkeypatch.chdir(tmp_path)
    for folder in ("RUN", "STUDY"):
        Path(folder).mkdir()
    for name in ("PIPE", "PIPE.xyz", "RUN/run.json", "STUDY/study.toml"):
        os.mkfifo(name)
    said = refusal(line.split(), capfd)
    assert "a pipe" in said or "cannot be read" in said


@pytest.mark.parametrize(
    "line",
    ["label INPUTS/net INPUTS/water.npz --export x.xyz --label-displaced 2", "curve net water.npz",
     "train INPUTS/water.npz --out x --frames 20 --valid 5", "study s.toml --out x",
     "export run --out x.csv", "landscape INPUTS/net --data INPUTS/water.npz --out x.npz",
     "import INPUTS/net --out x --units eV", "sample H2O --temperature 300 --frames 1 --out x.npz"],
)  # fmt: skip
def test_a_working_directory_that_was_deleted(inputs, tmp_path, monkeypatch, line, capfd):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = refusal(line.replace("INPUTS", str(inputs)).split(), capfd)
    assert "was deleted" in said or "no such" in said or "cannot be read" in said


@pytest.mark.parametrize(
    "line",
    ["convert LARGE --out x --cutoff 5 --units eV", "sample LARGE.xyz --temperature 300 --frames 1 "
     "--out x.npz", "sample LARGE.npz --temperature 300 --frames 1 --out x.npz",
     "study LARGE --out x", "inspect LARGE.xyz", "import LARGE --out x"],
)  # fmt: skip
def test_a_file_larger_than_memory_is_not_read(tmp_path, monkeypatch, line, capfd):
    monkeypatch.chdir(tmp_path)
    for name in ("LARGE", "LARGE.xyz", "LARGE.npz"):
        with Path(name).open("wb") as file:
            file.truncate(10**13)
    assert "bytes" in (said := refusal(line.split(), capfd)) or "GiB" in said


def test_an_unknown_molecule_has_suggestions(tmp_path, capfd):
    line = ["sample", "CH3CH2OHH", "--temperature", "300", "--frames", "5"]
    assert "CH3CH2OH" in refusal([*line, "--out", str(tmp_path / "x.npz")], capfd)


def test_the_units_are_those_of_the_loader():
    units = next(one for one in settings_of(LoadSettings) if one.name == "units")
    assert set(units.choices) == set(ENERGY_UNITS)


def test_a_port_in_use_is_said(capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = refusal(["app", "--port", str(port)], capfd)
    assert f"--port {port}" in sentence and "in use" in sentence


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it."""
    command = [sys.executable, "-m", "fisherdash", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_help_names_every_command_and_the_defaults():
    answer = shell("--help")
    assert answer.returncode == 0 and answer.stderr == ""
    assert all(re.search(rf"^    {name}\s+\w", answer.stdout, re.M) for name in COMMANDS)
    answer = shell("train", "--help")
    assert "(default: 32)" in answer.stdout and "default: None" not in answer.stdout


def test_the_version_is_that_of_the_package():
    import fisherdash

    assert shell("--version").stdout.strip() == f"fisherdash {fisherdash.__version__}"


def test_the_real_process_exits_with_2_and_no_traceback():
    answer = shell("evaluate", "missing.ckpt", "missing.npz", "--json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "fisherdash: no checkpoint 'missing.ckpt': there is no such file.\n"


def piped(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A made-up command with an Å in its result, run by bash, which redirects its output."""
    code = (
        "import argparse, sys; from fisherdash.cli.console import execute; "
        "sys.exit(execute(argparse.Namespace(run=lambda args, console: {'length_eV_per_A': 1.5}, "
        "json=False, debug=False, command_line='')))"
    )
    return subprocess.run(
        ["bash", "-c", line.replace("COMMAND", f'"{sys.executable}" -c "{code}"')],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_terminal_without_the_letters_is_served_all_the_same():
    answer = piped("COMMAND", PYTHONIOENCODING="ascii")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "length  1.5 eV/?\n"


def test_a_reader_that_has_seen_enough_is_no_failure():
    answer = piped("set -o pipefail; COMMAND | true")
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_a_failure():
    answer = piped("COMMAND > /dev/full")
    assert answer.returncode == 1
    assert answer.stderr == "fisherdash: the result could not be printed: No space left on device\n"


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", LONG, "data.npz"],
        ["train", LONG, "--out", "x"],
        ["simulate", LONG, "--data", "x", "--out", LONG],
        ["compare", LONG],
    ],
    ids=lambda words: words[0],
)
def test_names_that_are_too_long_are_refused_in_one_line(words, capfd):
    """They once ended in a traceback."""
    from fisherdash.__main__ import main

    assert main(words) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and len(err) < 250 and "too long" in err


@pytest.mark.parametrize("place", ["~nosuchuser/x", "/tmp/" + LONG])
def test_a_workspace_that_cannot_be_is_refused_in_one_line(monkeypatch, place, capfd):
    from fisherdash.__main__ import main

    monkeypatch.setenv("FISHERDASH_WORKSPACE", place)
    assert main(["index"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and len(err) < 300


def test_the_parser_of_all_commands_waits_for_no_jax():
    program = "import sys, fisherdash.__main__; print({'jax', 'pandas', 'plotly'} & {*sys.modules})"
    words = [sys.executable, "-c", program]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
