"""A study in two sittings: what was packed is not done again, and the tables are the same."""

import pandas as pd
import pytest

from fisherdash import dataset
from fisherdash.study import read_spec, run_study
from fisherdash.study.tables import COLUMNS, table_file
from tests.randomised import milder, planted_dataset, random_checkpoint
from tools import study_pieces

SPEC = """
title = "Two sittings"
together = 1
[[data]]
name = "planted"
file = "planted.npz"
valid = 4
test = 6
[[models]]
seed = [SEEDS]
frames = [8, 10]
epochs = 1
features = 3
max_degree = 0
iterations = 1
basis = 4
[heads.plain]
ridge = 0
[dynamics]
temperature = 300
replicas = 2
picoseconds = 0.01
[primary]
head = "plain"
"""

pytestmark = pytest.mark.slow


def test_what_was_packed_is_not_done_again(tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    dataset.save(planted_dataset(milder(random_checkpoint()), 30), study / "planted.npz")

    def sitting(seeds: str, folder, begins: int, done: int) -> None:
        text = SPEC.replace("SEEDS", seeds)
        (study / "study.toml").write_text(text)
        assert study_pieces.unpack(study, folder) == begins
        for progress in run_study(read_spec(text, study), folder, workers=0):
            assert progress.done >= begins  # from the first report on
        assert progress.done == progress.models == study_pieces.pack(folder, study) == done

    # All shapes of one seed, then those of the next.
    sitting("0", tmp_path / "first", 0, 2)
    bytes_of_first = (study / study_pieces.ARCHIVE).read_bytes()
    assert study_pieces.pack(tmp_path / "first", study) == 2
    assert (study / study_pieces.ARCHIVE).read_bytes() == bytes_of_first
    sitting("0, 1", tmp_path / "second", 2, 4)
    trained = [path.parent.name for path in (tmp_path / "second").rglob("default.safetensors")]
    assert len(trained) == 2 and all("-s1-" in name for name in trained)
    first_question = (tmp_path / "first" / "questions.json").read_text()
    assert (study / "questions.json").read_text() == first_question  # asked once, long ago

    together = {name: table_file(study / "tables", name).read_bytes() for name in COLUMNS}
    (study / study_pieces.ARCHIVE).unlink()
    sitting("0, 1", tmp_path / "at once", 0, 4)
    for name, packed in together.items():
        if name != "timings":
            assert table_file(study / "tables", name).read_bytes() == packed, name

    next((tmp_path / "at once").rglob("run-*.json")).unlink()  # its dynamics are still to be done
    assert study_pieces.pack(tmp_path / "at once", study) == 3
    assert len(pd.read_csv(table_file(study / "tables", "models"))) == 3


def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["study_pieces.py", "pack", str(tmp_path / "none"), "x"])
    assert study_pieces.main() == 2
    assert "holds no study" in capsys.readouterr().err
