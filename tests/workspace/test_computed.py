"""Values that are computed in the background: once, in turn, with their mistakes told."""

import threading

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import computed as computing
from fisherdash.workspace import jobs, users
from fisherdash.workspace.computed import Cache


@pytest.fixture
def cache():
    return Cache()


def finished(cache, subject, function, state=None):
    """The value, waited for."""
    found = cache.get(subject, function, state)
    if found.job is not None:
        assert found.job.wait(30)
    found = cache.get(subject, function, state)
    assert found.job is None
    return found.value


def test_a_value_is_computed_once_and_in_another_thread(cache):
    threads = []

    def function():
        threads.append(threading.current_thread())
        return 42

    first = cache.get("answer", function)
    assert first.value is None and first.job is not None
    assert finished(cache, "answer", function) == 42
    assert finished(cache, "answer", function) == 42
    assert len(threads) == 1 and threads[0] is not threading.current_thread()
    assert jobs.every("compute") == []


def test_what_would_take_too_long_is_not_begun(cache):
    def refuse():
        raise InputError("too long for a page")

    with pytest.raises(InputError, match="too long for a page"):
        cache.get("huge", lambda: pytest.fail("computed"), check=refuse)
    assert cache.active() == []
    assert finished(cache, "huge", lambda: 1) == 1
    assert cache.get("huge", pytest.fail, check=refuse).value == 1  # what is there costs nothing


def test_whoever_asks_meanwhile_waits_for_the_same_job(cache):
    go = threading.Event()
    one = cache.get("slow", lambda: go.wait(30))
    two = cache.get("slow", lambda: pytest.fail("computed twice"))
    assert one.job is two.job and cache.active() == [one.job]
    go.set()
    assert one.job.wait(30) and cache.get("slow", pytest.fail).value is True
    assert cache.active() == []


def test_the_old_value_stays_until_the_new_one_is_there(cache):
    assert finished(cache, "study", lambda: "one model", 1) == "one model"
    go = threading.Event()
    later = cache.get("study", lambda: go.wait(30) and "two models", 2)
    assert later.value == "one model" and later.job is not None
    third = cache.get("study", lambda: "three models", 3)
    assert third == later  # one at a time for each subject
    go.set()
    assert later.job.wait(30)
    assert finished(cache, "study", lambda: "three models", 3) == "three models"


def test_a_mistake_is_told_to_everybody_who_asks_and_tried_again_later(cache, monkeypatch):
    def wrong():
        raise InputError("the table is damaged")

    assert cache.get("study", wrong, 1).job.wait(30)
    for _ in range(2):
        with pytest.raises(InputError, match="the table is damaged"):
            cache.get("study", lambda: 1, 1)
    assert finished(cache, "study", lambda: 2, 2) == 2  # another state may be sound

    assert cache.get("bug", lambda: 1 / 0).job.wait(30)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        cache.get("bug", lambda: 1)
    monkeypatch.setattr(computing, "PATIENCE", 0.0)
    assert finished(cache, "bug", lambda: 1) == 1


def test_the_oldest_values_are_forgotten(cache, monkeypatch):
    monkeypatch.setattr(computing, "KEPT", 2)
    for number in (1, 2):
        assert finished(cache, number, lambda number=number: number) == number
    finished(cache, 1, pytest.fail)  # asked for again
    assert finished(cache, 3, lambda: 3) == 3
    assert cache.get(1, pytest.fail).value == 1
    assert cache.get(2, lambda: "again").job is not None


def test_it_is_computed_for_whoever_asked_first(cache):
    user = "0123456789abcdef"
    with users.acting_for(user):
        job = cache.get("whose", users.current).job
    assert job.wait(30) and job.owner == user
    assert cache.get("whose", pytest.fail).value == user
