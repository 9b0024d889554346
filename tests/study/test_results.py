"""Studies at hand: one that cannot be read hides no other, and what is shown is of today."""

import os
from pathlib import Path

import pytest

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.study import results, spec
from fisherdash.study.spec import Registered, registered


def kept(folder: Path, content: bytes) -> results.Kept:
    """A study with such a specification."""
    (folder / "members").mkdir(parents=True)
    (folder / "study.toml").write_bytes(content)
    return results.Kept("x", folder)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 5000, b"= 3", b"title = [1, 2]", b"#" * 5_000_000]
)
def test_whatever_the_specification_holds_the_study_has_a_title(
    tmp_path: Path, content: bytes
) -> None:
    assert kept(tmp_path / "x", content).title in ("x", "[1, 2]")


def test_a_pipe_in_place_of_a_specification_is_not_waited_for(tmp_path: Path) -> None:
    study = kept(tmp_path / "x", b"")
    (study.folder / "study.toml").unlink()
    os.mkfifo(study.folder / "study.toml")
    assert study.title == "x"


@pytest.mark.parametrize(
    ("name", "content"),
    [("study.toml", b"\xff"), ("study.toml", b"x = 3"), (spec.QUESTIONS, b"[5]")],
)
def test_what_is_wrong_with_a_study_is_said(tmp_path: Path, name: str, content: bytes) -> None:
    assert not results.problem(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert results.problem(tmp_path)


@pytest.mark.parametrize("name", ["study.toml", spec.QUESTIONS])
def test_another_question_is_another_state(tmp_path: Path, name: str) -> None:
    """What the page has computed about a study is of the question that was asked then."""
    study = kept(tmp_path / "x", b"title = 'x'")
    before = study.state
    (study.folder / name).write_text("title = 'y'")
    assert study.state != before


def test_half_a_stage_of_a_killed_worker_is_no_result(tmp_path: Path) -> None:
    study = kept(tmp_path / "x", b"")
    member = study.members / "one"
    member.mkdir(parents=True)
    before = study.state
    (member / f"{storage.PART}half.json").write_text("{}")
    assert study.state == before
    (member / "errors.json").write_text("{}")
    assert study.state != before


@pytest.mark.parametrize(
    "content",
    ["5", "{}x", "[1]", "[" * 5000, '[{"date": 5, "digest": "a", "runs": 0, "question": null}]',
     '[{"date": "2026", "digest": "a", "runs": "many", "question": null}]',
     '[{"date": "2026", "digest": [], "runs": 0, "question": null}]',
     '[{"date": "2026", "digest": "a", "runs": 0, "question": 5}]'],
)  # fmt: skip
def test_damaged_questions_are_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / spec.QUESTIONS).write_text(content)
    with pytest.raises(InputError, match="is damaged"):
        registered(tmp_path)


def test_a_question_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = '[{"date": "2026-01-01", "digest": "a", "runs": 3, "question": null}]'
    (tmp_path / spec.QUESTIONS).write_text(text)
    assert registered(tmp_path) == (Registered("2026-01-01", "a", 3, None),)
