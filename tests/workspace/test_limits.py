"""What a run costs and what a server allows."""

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import limits, paths, users
from fisherdash.workspace.limits import Cost

ANNA, BEN = users.named("anna"), users.named("ben")
SMALL = Cost(frames=10, bytes=1000, seconds=None)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    for limit in limits.ALL:
        monkeypatch.delenv(limit.variable, raising=False)
    monkeypatch.delenv("FISHERDASH_SHARED", raising=False)


def test_cost_counts_frames_and_bytes():
    price = limits.cost(heads=2, replicas=32, steps=5000, record_every=10, atoms=9)
    assert price.frames == 501  # the start and every tenth step
    assert price.bytes == 501 * 64 * (9 * 3 * 2 * 4 + 16)
    assert "501 frames" in price.sentence and "MB" in price.sentence


def test_cost_gives_seconds_at_the_pace_of_the_last_run(monkeypatch):
    monkeypatch.setattr(limits, "last_pace", lambda: 1000.0)
    price = limits.cost(heads=2, replicas=5, steps=100, record_every=10, atoms=10)
    assert price.seconds == pytest.approx(10.0)
    assert "about 10 s" in price.sentence
    monkeypatch.setattr(limits, "last_pace", lambda: None)
    later = limits.cost(heads=2, replicas=5, steps=100, record_every=10, atoms=10)
    assert later.seconds is None and "known a few seconds after" in later.sentence


def test_alone_there_is_no_limit_but_the_disk():
    limits.check_run(SMALL, 10**15, users.EVERYBODY)
    limits.check_jobs(10**6, users.EVERYBODY)
    with pytest.raises(InputError, match=r"about 1e\+06 TB are needed, and the disk has .* left"):
        limits.check_run(Cost(10, 10**18, None), 1, users.EVERYBODY)


def test_on_a_server_runs_are_limited(monkeypatch):
    with users.acting_for(ANNA):
        limits.check_run(SMALL, 1000, ANNA)
        with pytest.raises(InputError, match=r"heads × replicas × steps are 1e\+09.*allows 2e\+08"):
            limits.check_run(SMALL, 10**9, ANNA)
        with pytest.raises(InputError, match="would take 3 GB, and this server allows 2 GB"):
            limits.check_run(Cost(10, 3 * 10**9, None), 1, ANNA)
        monkeypatch.setenv("FISHERDASH_MAX_USER_GB", "0.001")
        (paths.folder("datasets") / "big.npz").write_bytes(bytes(999_500))
        with pytest.raises(InputError, match="your files take 1 MB of the 1 MB"):
            limits.check_run(SMALL, 1, ANNA)
    with users.acting_for(BEN):
        limits.check_run(SMALL, 1, BEN)  # the files are another's


@pytest.mark.parametrize("bad", ["many", "-1", "0", "nan", ""])
def test_a_limit_that_is_no_number_is_named(monkeypatch, bad):
    monkeypatch.setenv("FISHERDASH_MAX_JOBS", bad)
    with pytest.raises(InputError, match="FISHERDASH_MAX_JOBS must be a positive number"):
        limits.check_jobs(0, ANNA)
    with pytest.raises(InputError):
        limits.check_variables()


def test_whether_a_server_is_shared_is_said_plainly(monkeypatch):
    assert not limits.is_shared()
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    assert limits.is_shared()
    monkeypatch.setenv("FISHERDASH_SHARED", "yes")
    with pytest.raises(InputError, match="FISHERDASH_SHARED must be 0 or 1, received 'yes'"):
        limits.check_variables()
