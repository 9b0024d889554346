"""Shared fixtures: a private workspace, and the published data where they are at hand."""

import os
import tempfile
from pathlib import Path

import pytest

# Set before anything imports fisherdash, so that no test touches the user's own workspace.
os.environ["FISHERDASH_WORKSPACE"] = tempfile.mkdtemp(prefix="fisherdash-tests-")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published reference data beside the checkout; the test is skipped without it."""
    folder = Path(os.environ.get("FISHERDASH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"published reference data not found in {folder}")
    return folder
