"""From the shell one takes away what the dashboard's buttons give."""

import csv
import json

import ase.io
import numpy as np
import pytest

from fisherdash.__main__ import main
from fisherdash.workspace import runs
from tests.browser import chromium
from tests.workspace.recorded import PER_CHUNK, folder, header, write

__all__ = ["folder"]  # a fixture


def export(capfd, *words):
    assert main(["export", *map(str, words), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_a_trajectory_is_the_one_that_was_asked_for(folder, tmp_path, capfd):
    chunks, out = write(folder), tmp_path / "one.xyz"
    answer = export(capfd, folder, "--out", out, "--head", "fisher", "--replica", 3)
    frames = ase.io.read(out, index=":")
    assert answer["frames"] == len(frames) == 3 * PER_CHUNK
    assert answer["bytes"] == out.stat().st_size
    np.testing.assert_array_equal(
        np.float32(frames[-1].positions), chunks[-1].positions[1, 2, PER_CHUNK - 1]
    )
    assert frames[0].info["head"] == "fisher" and frames[0].info["replica"] == 3


@pytest.mark.slow
@chromium.needed
def test_report_figure_and_table_are_whole_files(folder, tmp_path, capfd):
    write(folder)
    for ending in ("html", "svg", "csv"):
        export(capfd, folder, "--out", tmp_path / f"run.{ending}")
    report = (tmp_path / "run.html").read_text()
    assert (
        "python -m fisherdash simulate a b" in report and "python -m fisherdash compare" in report
    )
    assert (tmp_path / "run.svg").read_text().startswith("<svg")
    rows = list(csv.DictReader((tmp_path / "run.csv").open()))
    assert len(rows) == 2, "one row for each head"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--out x.pdb", "must end in one of .xyz, .html, .svg, .csv"),
        ("--out x.svg --replica 2", "--head and --replica choose a trajectory"),
        ("--out x.xyz --head nobody", "no head 'nobody'; it has default, fisher"),
        ("--out x.xyz --replica 9", "asked for replica 9"),
    ],
)
def test_what_cannot_be_given_is_one_sentence(
    folder, tmp_path, monkeypatch, capfd, words, expected
):
    write(folder)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["export", str(folder), *words.split()]) == 2
    error = capfd.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before, "no half-written file is left"


def test_a_run_without_frames_says_so(folder, tmp_path, capfd):
    runs.RunWriter(folder, header()).finish("cancelled")
    assert main(["export", str(folder), "--out", str(tmp_path / "x.csv")]) == 2
    assert "has no frames yet" in capfd.readouterr().err
