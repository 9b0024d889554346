"""Workspace: names never become paths, files appear whole, samples come first."""

import pytest

from fisherdash.errors import InputError
from fisherdash.runs import workspace


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
    assert workspace.safe_stem(name) == stem


def test_new_paths_stay_inside_and_never_overwrite(own_workspace):
    first = workspace.new_path("datasets", "../../ethanol", ".npz")
    assert first == own_workspace / "datasets" / "ethanol.npz"
    first.write_bytes(b"1")
    assert workspace.new_path("datasets", "ethanol", ".npz").name == "ethanol-2.npz"
    assert workspace.new_path("runs", "v1.5 fisher", "").name == "v1.5-fisher"


def test_files_lists_samples_before_the_users_own(tmp_path, monkeypatch):
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "z.npz").write_bytes(b"")
    monkeypatch.setattr(workspace, "samples", lambda: samples)
    mine = workspace.save_new("datasets", "a", ".npz", lambda path: path.write_bytes(b""))
    assert workspace.files("datasets") == [samples / "z.npz", mine]
    assert workspace.files("checkpoints") == []


def test_an_unwritable_workspace_is_one_sentence(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(blocked / "inside"))
    with pytest.raises(InputError, match="FISHERDASH_WORKSPACE"):
        workspace.folder("runs")
