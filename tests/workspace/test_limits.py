"""The gate before every job: what a server allows, and what is asked about on one's own machine."""

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import limits, paths, users
from fisherdash.workspace.estimates import Estimate

ANNA, BEN = users.named("anna"), users.named("ben")
SMALL = Estimate("simulate", 1.0, disk=1000.0)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    for limit in limits.ALL:
        monkeypatch.delenv(limit.variable, raising=False)
    monkeypatch.delenv("FISHERDASH_SHARED", raising=False)


def test_alone_there_is_no_limit_but_the_disk():
    limits.check(Estimate("simulate", 1e12, steps=1e15))
    limits.check_jobs(10**6, users.EVERYBODY)
    with pytest.raises(InputError, match=r"about 1e\+06 TB are needed, and the disk has .* left"):
        limits.check(Estimate("simulate", 1.0, disk=1e18))


BEYOND = {
    "steps": (Estimate("simulate", 1.0, steps=1e9), "replicas × steps are 1e\\+09.*allows 2e\\+08"),
    "time": (Estimate("train", 1e6), "take about 12 days, and this server allows 12 h"),
    "memory": (
        Estimate("refit", 1.0, memory=1e11),
        "100 GB of memory, and this server allows 4 GB",
    ),
    "disk": (Estimate("sample", 1.0, disk=3e9), "would take 3 GB, and this server allows 2 GB"),
}


@pytest.mark.parametrize("beyond", BEYOND)
def test_on_a_server_every_job_is_bounded_in_time_memory_and_disk(beyond):
    """A visitor could once begin a job of 10¹² frames or epochs, behind which others waited."""
    price, sentence = BEYOND[beyond]
    with users.acting_for(ANNA), limits.agreed():  # nobody can agree to more than is allowed
        limits.admit(SMALL)
        with pytest.raises(InputError, match=sentence) as refusal:
            limits.admit(price)
    assert not isinstance(refusal.value, limits.Question)


def test_everything_of_a_user_counts_and_what_their_jobs_will_write(monkeypatch):
    monkeypatch.setenv("FISHERDASH_MAX_USER_GB", "0.001")
    with users.acting_for(ANNA):
        for kind in ("datasets", "checkpoints", "trainings", "runs", "studies"):
            (paths.folder(kind) / "big.part").write_bytes(bytes(199_900))
        with pytest.raises(InputError, match=r"take 1 MB of the 1 MB.*the page Models & files"):
            limits.admit(SMALL)
        (paths.folder("studies") / "big.part").unlink()
        limits.admit(SMALL)
        with pytest.raises(InputError, match=r"your files and jobs take 1"):
            limits.admit(SMALL, promised=200_000)
    with users.acting_for(BEN):
        limits.admit(SMALL)  # the files are another's


def test_alone_a_large_job_is_a_question_until_somebody_agrees(monkeypatch):
    limits.admit(Estimate("train", limits.LONG / 2))
    long = Estimate("train", 3 * 24 * 3600.0)
    with pytest.raises(limits.Question, match="this will take about 3 days by a careful rule"):
        limits.admit(long)
    with limits.agreed():
        limits.admit(long)
    monkeypatch.setattr(limits, "memory_of_machine", lambda: 8e9)
    with pytest.raises(limits.Question, match="about 5 GB of this machine's 8 GB of memory"):
        limits.admit(Estimate("train", 1.0, memory=5e9))


def test_administrators_are_named_by_their_numbers(monkeypatch):
    assert limits.is_administrator(users.EVERYBODY) and not limits.is_administrator(ANNA)
    monkeypatch.setenv("FISHERDASH_ADMINS", f" {ANNA}, ")
    assert limits.is_administrator(ANNA) and not limits.is_administrator(BEN)
    monkeypatch.setenv("FISHERDASH_ADMINS", "anna@example.org")
    with pytest.raises(InputError, match="FISHERDASH_ADMINS must be numbers of users"):
        limits.check_variables()


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


def test_what_a_page_computes_is_bounded_on_a_server(monkeypatch):
    long, large = Estimate("page", 1e4), Estimate("page", 1.0, memory=1e10)
    limits.check_page(long, "the statistics")
    with users.acting_for(ANNA):
        limits.check_page(Estimate("page", 500.0), "the statistics")
        with pytest.raises(InputError, match=r"the statistics would take about 2\.8 h, and a"):
            limits.check_page(long, "the statistics")
        with pytest.raises(InputError, match="the report would take about 10 GB of memory"):
            limits.check_page(large, "the report")
        monkeypatch.setenv("FISHERDASH_MAX_PAGE_MINUTES", "300")
        limits.check_page(long, "the statistics")
