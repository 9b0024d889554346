"""A file is opened here only where somebody here has said so."""

import json
from pathlib import Path

import pytest

from fisherdash.errors import InputError
from fisherdash.potentials.worker import trusted


def test_a_file_is_kept_and_found_by_its_hash(file, python) -> None:
    path = file(springs=False)
    found = trusted.trust(path, "so3lr", python)
    content = path.read_bytes()
    path.unlink()
    assert trusted.find(found.sha256, "so3lr") == found
    assert found.path.read_bytes() == content and found in trusted.everything()
    with pytest.raises(InputError, match="--family mace --python"):
        trusted.find(found.sha256, "mace")


def test_a_link_to_a_python_stays_a_link(file, python, tmp_path) -> None:
    link = tmp_path / "bin"
    link.symlink_to(python)
    assert trusted.trust(file(), "mace", str(link)).python == str(link)


def test_what_nobody_has_trusted_is_not_found() -> None:
    with pytest.raises(InputError, match="not imported on this machine; get that file and call"):
        trusted.find("f" * 64, "mace")


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"{}", json.dumps({"family": 1, "python": "x", "name": "x"}).encode()]
)
def test_a_damaged_word_is_no_word(file, python, damage) -> None:
    found = trusted.trust(file(damage=str(damage)), "mace", python)
    (found.path.parent / trusted.WORD).write_bytes(damage)
    with pytest.raises(InputError, match="not imported"):
        trusted.find(found.sha256, "mace")
    assert found not in trusted.everything()


def test_on_a_shared_server_there_is_none_of_it(file, python, monkeypatch) -> None:
    found = trusted.trust(file(), "mace", python)
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    for attempt in (
        lambda: trusted.trust(file(), "mace", python),
        lambda: trusted.find(found.sha256, "mace"),
    ):
        with pytest.raises(InputError, match="this server is shared by many"):
            attempt()


def test_what_is_no_file_or_no_program_is_refused(file, python, tmp_path) -> None:
    with pytest.raises(InputError, match="is no file"):
        trusted.trust(tmp_path, "mace", python)
    nowhere = ("~nosuchuser/python", "x" * 300)
    for wrong in (str(tmp_path / "python"), str(tmp_path), str(Path(file())), *nowhere):
        with pytest.raises(InputError, match="is no program"):
            trusted.trust(file(), "mace", wrong)
