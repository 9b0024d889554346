"""Workspace: names never become paths, files appear whole, samples come first."""

import os

import pytest

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import paths


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../x", "x"),
        ("..\\..\\boot.ini", "boot"),
        ("/etc/passwd", "passwd"),
        ("...", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("<script>alert(1)</script>", "script"),
        ("My water, 300 K.extxyz", "My-water-300-K"),
        ("a" * 300 + ".npz", "a" * 80),
        ("wasser-\u00e4\u0000.npz", "wasser"),
    ],
)
def test_names_become_harmless_stems(name, stem):
    assert paths.safe_stem(name) == stem


def test_new_paths_stay_inside_and_never_overwrite(own_workspace):
    first = paths.new_path("datasets", "../../ethanol", ".npz")
    assert first == own_workspace / "datasets" / "ethanol.npz"
    first.write_bytes(b"1")
    assert paths.new_path("datasets", "ethanol", ".npz").name == "ethanol-2.npz"
    assert paths.new_path("runs", "v1.5 fisher", "").name == "v1.5-fisher"


def test_a_name_is_given_once_and_lasts_until_it_is_used(own_workspace):
    first, second = (paths.new_path("runs", "a", "") for _ in range(2))
    assert (first.name, second.name) == ("a", "a-2")
    first.mkdir()
    assert paths.new_path("runs", "b", "").name == "b"
    markers = {path.name for path in first.parent.glob(".part-claim-*")}
    assert markers == {".part-claim-a-2", ".part-claim-b"}  # the used one needs none any more


def test_another_programs_name_is_left_to_it_unless_it_was_killed_long_ago(own_workspace):
    home = paths.folder("checkpoints")
    marker = home / ".part-claim-a.safetensors"
    marker.write_text("")
    assert paths.new_path("checkpoints", "a", ".safetensors").name == "a-2.safetensors"
    os.utime(marker, (0, 0))
    assert paths.new_path("checkpoints", "a", ".safetensors").name == "a.safetensors"
    assert paths.files("checkpoints") == sorted(paths.samples().glob("*.safetensors"))


def test_files_lists_samples_before_the_users_own(tmp_path, monkeypatch):
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "z.npz").write_bytes(b"")
    monkeypatch.setattr(paths, "samples", lambda: samples)
    mine = paths.save_new("datasets", "a", ".npz", lambda path: path.write_bytes(b""))
    assert paths.files("datasets") == [samples / "z.npz", mine]
    assert paths.files("checkpoints") == []


def test_an_unwritable_workspace_is_one_sentence(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(blocked / "inside"))
    with pytest.raises(InputError, match="FISHERDASH_WORKSPACE"):
        paths.folder("runs")


@pytest.mark.parametrize("name", ["~nosuchuser/file", "x" * 300, "a\0b", "\ud800", "absent", "."])
def test_what_is_no_file_is_none_whatever_probing_it_raises(tmp_path, monkeypatch, name):
    """An unknown user in the name of a Python was a traceback, and took the page away."""
    monkeypatch.chdir(tmp_path)
    assert storage.file_named(name) is None


def test_a_file_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    assert (
        storage.file_named("~/file") == storage.file_named(tmp_path / "file") == tmp_path / "file"
    )
