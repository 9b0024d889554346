"""The 3D library: the file that is fetched and the one named as a fallback are the same."""

import base64
import hashlib
import re

import pytest

from fisherdash import viewer
from tools import get_3dmol


def test_the_viewer_falls_back_to_the_version_that_is_fetched():
    url = re.search(r'url: "(\S+)"', viewer.source())
    assert url is not None and f"3dmol@{get_3dmol.VERSION}/" in url[1]


def test_the_fallback_is_checked_against_the_very_same_file():
    path = get_3dmol.VENDOR / "3Dmol-min.js"
    if not path.is_file():
        pytest.skip("the 3D library has not been fetched (tools/get_3dmol.py)")
    digest = base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
    assert f'integrity: "sha384-{digest}"' in viewer.source()


def test_a_tampered_tarball_is_refused(tmp_path):
    tarball = tmp_path / "3dmol.tgz"
    tarball.write_bytes(b"not what was tested")
    with pytest.raises(ValueError, match="SHA-512"):
        get_3dmol.unpack(tarball, tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_a_second_call_does_nothing(tmp_path, monkeypatch, capsys):
    for name in get_3dmol.MEMBERS.values():
        (tmp_path / name).write_text("here")
    (tmp_path / get_3dmol.STAMP).write_text(get_3dmol.VERSION)
    monkeypatch.setattr(get_3dmol, "npm_command", lambda: pytest.fail("npm was called"))
    assert get_3dmol.main([str(tmp_path)]) == 0
    assert "is in place" in capsys.readouterr().out
