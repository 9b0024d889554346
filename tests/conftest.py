"""Shared fixtures: a private workspace and list of jobs, the published data if at hand."""

import os
import tempfile
from pathlib import Path

import pytest

# Set before anything imports fisherdash, so that no test touches the user's own workspace.
_WORKSPACE = tempfile.TemporaryDirectory(prefix="fisherdash-tests-")  # removed at the end
os.environ["FISHERDASH_WORKSPACE"] = _WORKSPACE.name

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_jobs_of_other_tests(monkeypatch):
    """The list of jobs belongs to the process; each test has one of its own."""
    from fisherdash.workspace import jobs  # not before the workspace is set

    monkeypatch.setattr(jobs, "_registry", jobs.Registry())


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
