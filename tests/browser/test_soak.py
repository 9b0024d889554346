"""Thirty visitors, two of them hostile, and three browsers: ``tools/soak.py`` at full size."""

import subprocess
import sys

import pytest

from tests.browser import chromium


@pytest.mark.validate
@pytest.mark.browser
def test_a_crowd_for_twenty_minutes_with_and_without_enemies() -> None:
    if chromium.find() is None:
        pytest.skip("no Chromium on this machine: the browser tests are left out")
    command = [sys.executable, str(chromium.ROOT / "tools" / "soak.py")]
    size = ["--users", "30", "--browsers", "3", "--minutes", "20", "--hostile", "2"]
    answer = subprocess.run([*command, *size], capture_output=True, text=True, timeout=4800)
    print(answer.stdout)
    assert answer.returncode == 0, answer.stdout + answer.stderr
