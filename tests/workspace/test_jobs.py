"""Jobs: what ends them, what they remember, what they are charged, and who may cancel them.

Whose turn it is on a device: by the work that users ask for.
"""

import dataclasses
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fisherdash.errors import InputError
from fisherdash.workspace import estimates, jobs, limits, paths, users
from fisherdash.workspace.estimates import Estimate
from fisherdash.workspace.jobs import FairQueue, JobProgress

PATIENCE = 10.0


def counted(count):
    """JobProgress in ``count`` equal parts; returns the number of parts."""
    for done in range(1, count + 1):
        yield JobProgress(done / count, "running", detail=str(done))
    return count


def endless(started, cancel):
    while not cancel.is_set():
        started.set()
        yield JobProgress(0.5)


def noting(seen):
    """A reading of progress that notes what it reads."""
    return lambda item: seen.append((item.stage, item.fraction)) or item


def test_finishes_with_the_iterators_return_value_and_its_last_item():
    seen = []
    job = jobs.submit("test", "count", lambda cancel: counted(4), describe=noting(seen))
    assert job.wait(PATIENCE)
    assert (job.status, job.stage, job.result) == ("finished", "finished", 4)
    assert [fraction for _, fraction in seen] == [0.25, 0.5, 0.75, 1.0]
    assert job.latest.detail == "4"
    assert job.progress.fraction == 1.0
    assert jobs.get(job.id) is job
    assert jobs.every("test")[0] is job


def test_results_of_the_newest_only_and_nothing_that_made_them():
    """A re-fit's result and its closure hold megabytes; the list remembers 200 jobs."""

    class Large:
        pass

    def make():
        inputs, result = Large(), Large()
        seen.append(weakref.ref(inputs))

        def work(cancel):
            yield JobProgress(0.5, detail=str(inputs))
            return result

        return work

    seen = []
    done = [jobs.submit("large", str(number), make()) for number in range(jobs.RESULTS + 2)]
    other = jobs.submit("small", "after them", lambda cancel: counted(1))
    assert other.wait(PATIENCE)
    gc.collect()
    assert [job.result is not None for job in done] == [False] * 2 + [True] * jobs.RESULTS
    assert {job.status for job in done} == {"finished"}
    assert [reference() for reference in seen] == [None] * len(done)


def test_names_kept_free_for_what_never_came_are_free_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("FISHERDASH_MAX_JOBS", "1")
    hold, owner = threading.Event(), users.named("anna")

    def refit(work):
        out = paths.new_path("checkpoints", "model", ".safetensors")
        return jobs.submit("refit", "a re-fit", work, info={"out": out})

    def waiting(cancel):
        hold.wait(PATIENCE)
        yield JobProgress(1.0)

    with users.acting_for(owner):
        first = refit(waiting)
        assert first.info["out"].name == "model.safetensors"
        with pytest.raises(InputError, match="allows 1"):
            refit(waiting)
        hold.set()
        assert first.wait(PATIENCE)
        again = refit(waiting)  # neither the refused nor the finished one has left a file
        assert again.info["out"].name == "model.safetensors" and again.wait(PATIENCE)
        assert not list(tmp_path.rglob(".part-claim-*"))


def test_input_error_ends_with_its_own_sentence():
    def refuse(cancel):
        yield JobProgress(0.1)
        raise InputError("the file holds no frames")

    job = jobs.submit("test", "refused", refuse)
    assert job.wait(PATIENCE)
    assert (job.status, job.error) == ("failed", "the file holds no frames")


def test_a_failure_is_one_sentence_and_a_logged_traceback(caplog):
    def broken(cancel):
        yield JobProgress(0.1)
        raise ZeroDivisionError("a planted mistake")

    with caplog.at_level(logging.ERROR):
        job = jobs.submit("test", "broken", broken)
        assert job.wait(PATIENCE)
    assert job.error == "the test job failed: ZeroDivisionError: a planted mistake"
    assert caplog.records[-1].exc_info is not None
    after = jobs.submit("test", "after", lambda cancel: counted(1))
    assert after.wait(PATIENCE) and after.status == "finished"  # the worker survived


def test_cancel_stops_a_running_job():
    started = threading.Event()
    job = jobs.submit("test", "endless", lambda cancel: endless(started, cancel))
    assert started.wait(PATIENCE)
    job.cancel()
    assert job.wait(PATIENCE)
    assert (job.status, job.active) == ("cancelled", False)


def test_work_that_refuses_to_go_on_after_a_cancel_is_cancelled():
    started = threading.Event()

    def solve(cancel):
        yield JobProgress(0.1)
        started.set()
        cancel.wait(PATIENCE)
        raise InputError("the solve was cancelled")

    job = jobs.submit("test", "solve", solve)
    assert started.wait(PATIENCE)
    job.cancel()
    assert job.wait(PATIENCE)
    assert (job.status, job.error) == ("cancelled", None)


def test_one_at_a_time_for_each_device_and_a_queued_job_can_be_cancelled():
    started = threading.Event()
    first = jobs.submit("test", "first", lambda cancel: endless(started, cancel), device="one")
    assert started.wait(PATIENCE)
    second = jobs.submit("test", "second", lambda cancel: counted(1), device="one")
    third = jobs.submit("test", "third", lambda cancel: counted(1), device="one")
    elsewhere = jobs.submit("test", "elsewhere", lambda cancel: counted(1), device="two")
    assert elsewhere.wait(PATIENCE) and elsewhere.status == "finished"
    assert (second.stage, jobs.before(second), jobs.before(third)) == (
        "queued",
        [first],
        [first, second],
    )
    second.cancel()
    assert second.status == "cancelled"
    first.cancel()
    assert third.wait(PATIENCE) and third.status == "finished"
    assert second.started == 0.0


def test_report_reaches_the_running_job_between_two_items():
    def long_call(cancel):
        yield JobProgress(0.0, "solving")
        for done in (1, 2):
            jobs.report(JobProgress(done / 4, "solving", detail=str(done)))
        yield JobProgress(1.0, "running")

    seen = []
    job = jobs.submit("test", "long", long_call, describe=noting(seen))
    assert job.wait(PATIENCE)
    assert seen == [("solving", 0.0), ("solving", 0.25), ("solving", 0.5), ("running", 1.0)]
    jobs.report(JobProgress(0.2))  # outside any job: nothing to do, nothing raised
    assert job.progress.fraction == 1.0


def test_time_left_follows_the_pace_of_the_present_stage(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(jobs.time, "time", lambda: clock[0])
    seen = []

    def paced(cancel):
        for second, (fraction, stage) in enumerate(
            [(0.0, "compiling"), (0.2, "running"), (0.4, "running")]
        ):
            clock[0] = 1000.0 + 10.0 * second
            yield JobProgress(fraction, stage)
            seen.append(job_box[0].seconds_left)

    job_box: list[jobs.Job] = []
    job = jobs.Job(1, "test", "paced", paced, lambda item: item, {}, "none")
    job_box.append(job)
    job.run()
    # 0.2 of the work took 10 s in the stage "running", so the last 0.6 take 30 s.
    assert seen == [None, None, pytest.approx(30.0)]
    assert job.seconds_left is None


def test_a_clock_set_back_gives_no_negative_times(monkeypatch):
    clock = [5000.0]
    monkeypatch.setattr(jobs.time, "time", lambda: clock[0])
    job_box: list[jobs.Job] = []
    seen = []

    def work(cancel):
        for done in (0.2, 0.4):
            yield JobProgress(done)
            clock[0] -= 3600.0
            seen.append((job_box[0].seconds, job_box[0].seconds_left))

    job = jobs.Job(1, "test", "back", work, lambda item: item, {}, "none")
    job_box.append(job)
    job.run()
    assert seen == [(0.0, None), (0.0, None)]
    assert job.status == "finished" and job.seconds == 0.0


def test_progress_refuses_a_fraction_outside_0_to_1():
    with pytest.raises(ValueError, match=r"1\.5"):
        JobProgress(1.5)


def test_old_finished_jobs_are_forgotten_but_never_active_ones(monkeypatch):
    monkeypatch.setattr(jobs, "REMEMBERED", 2)
    registry = jobs.Registry()
    how = {
        "make_iterator": lambda cancel: counted(1),
        "describe": lambda item: item,
        "info": {},
    }
    made = [registry.add("test", str(number), "forget", **how) for number in range(4)]
    assert all(job.wait(PATIENCE) for job in made)
    last = registry.add("test", "last", "forget", **how)
    assert registry.all()[0] is last
    assert len(registry.all()) <= 2


def test_a_job_that_has_said_nothing_yet_is_starting_and_not_queued():
    """Importing JAX takes a while; nothing is before it in the queue then."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(cancel):
        inside.set()
        go_on.wait(PATIENCE)
        yield JobProgress(0.5, "running")

    job = jobs.submit("test", "slow", slow)
    assert inside.wait(PATIENCE) and job.stage == "starting" and jobs.before(job) == []
    go_on.set()
    assert job.wait(PATIENCE) and job.status == "finished"


def test_a_job_beyond_a_limit_never_enters_the_queue_and_gives_its_name_back(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    with users.acting_for(users.named("anna")):
        out = paths.new_path("checkpoints", "model", ".safetensors")
        with pytest.raises(InputError, match="this server allows 12 h"):
            jobs.submit("train", "endless", endless, info={"out": out}, estimate=ENDLESS)
        assert jobs.every() == [] and paths.new_path("checkpoints", "model", ".safetensors") == out


ENDLESS = Estimate("train", 1e15)


def test_what_waiting_jobs_will_write_counts_before_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("FISHERDASH_MAX_USER_GB", "0.001")
    large, end = Estimate("train", 1.0, disk=600_000.0), threading.Event()

    def waiting(cancel):
        yield JobProgress(0.5)
        end.wait(PATIENCE)

    with users.acting_for(users.named("anna")):
        first = jobs.submit("train", "first", waiting, estimate=large)
        with pytest.raises(InputError, match="your files and jobs take"):
            for _ in range(2):
                jobs.submit("train", "more", waiting, estimate=large)
        end.set()
        assert first.wait(PATIENCE) and first.promised == 0.0


def test_the_log_keeps_how_fast_a_job_was_against_its_estimate(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    clock = [1000.0]
    monkeypatch.setattr(jobs.time, "time", lambda: clock[0])

    def training(cancel):
        for seconds, progress in (
            (30.0, JobProgress(0.0, "compiling")),
            (0.0, JobProgress(0.0, "training")),
            (50.0, JobProgress(0.5, "training")),
            (50.0, JobProgress(1.0, "training")),
        ):
            clock[0] += seconds
            yield progress

    for kind in ("train", "refit"):
        price = Estimate(kind, 400.0)
        describe, info = jobs.progress_as_is, {}
        jobs.Job(1, kind, "a job", training, describe, info, "none", estimate=price).run()
    assert estimates.paces("train") == [4.0]  # without the compilation
    assert estimates.paces("refit") == [pytest.approx(400.0 / 130.0, rel=1e-3)]  # with everything
    assert Estimate("train", 1000.0).seconds == estimates.START + 250.0


def test_an_administrator_sees_and_cancels_everything_and_nobody_else_does(monkeypatch):
    anna, ben, root = (users.named(name) for name in ("anna", "ben", "root"))
    monkeypatch.setenv(limits.ADMINS, root)
    started = threading.Event()
    with users.acting_for(anna):
        hers = jobs.submit("test", "hers", lambda cancel: endless(started, cancel))
    assert started.wait(PATIENCE)
    with users.acting_for(ben):
        assert jobs.table() == []
        with pytest.raises(InputError, match="another user's; they and an administrator"):
            hers.cancel()
    with users.acting_for(root):
        assert jobs.table() == [hers] and jobs.every() == []
        hers.cancel()
    assert hers.wait(PATIENCE) and hers.status == "cancelled"


def test_a_process_ends_after_its_workers_have_tidied_up(tmp_path):
    """C++ destructors abort a process that ends while a worker is in them."""
    program = """
import sys, time
from pathlib import Path
from fisherdash.workspace import jobs

def slowly():
    time.sleep(1.0)
    Path(sys.argv[1]).touch()

jobs.give_back, jobs.IDLE_SECONDS = slowly, 0.05
jobs.submit("demo", "x", lambda cancel: iter(())).wait()
time.sleep(0.3)
"""
    done = tmp_path / "done"
    environment = {**os.environ, "FISHERDASH_WORKSPACE": str(tmp_path / "work")}
    subprocess.run([sys.executable, "-c", program, str(done)], check=True, env=environment)
    assert done.exists()


def test_memory_is_given_back_once_after_a_burst_of_jobs(monkeypatch):
    begin, seen, burst = threading.Event(), [], []
    monkeypatch.setattr(jobs, "IDLE_SECONDS", 0.2)

    def give_back():
        if threading.current_thread().name == "jobs-a burst":  # not after jobs of other tests
            seen.append([job.active for job in burst])

    monkeypatch.setattr(jobs, "give_back", give_back)

    def work(cancel):
        begin.wait(PATIENCE)
        yield from ()

    for _ in range(20):
        burst.append(jobs.submit("demo", "x", work, device="a burst"))
    begin.set()
    end = time.monotonic() + PATIENCE
    while not seen and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)
    assert seen == [[False] * 20]


def test_one_who_waits_for_a_job_can_lose_patience():
    queue, items = filled("a")
    assert queue.take(0.0) is items[0]
    assert queue.take(0.0) is None


@dataclasses.dataclass(eq=False)
class Item:
    owner: str
    name: str = ""
    active: bool = True
    expected: float = 1.0


def filled(owners: str) -> tuple[FairQueue[Item], list[Item]]:
    queue: FairQueue[Item] = FairQueue()
    items = [Item(owner, f"{owner}{number}") for number, owner in enumerate(owners)]
    for item in items:
        queue.put(item)
    return queue, items


def names(items) -> str:
    return " ".join(item.name for item in items)


def test_one_of_each_then_the_next_of_each():
    queue, _ = filled("aaabbc")
    assert names(queue.order()) == "a0 b3 c5 a1 b4 a2"
    assert names(queue.take() for _ in range(6)) == "a0 b3 c5 a1 b4 a2"


def test_alone_it_is_first_come_first_served():
    queue, items = filled("aaaa")
    assert queue.order() == items


def test_who_comes_later_waits_for_what_is_at_work_and_not_for_all():
    queue, _ = filled("aaaa")
    assert queue.take().name == "a0"
    queue.put(Item("b", "b"))
    assert names(queue.order()) == "b a1 a2 a3"


def test_turns_follow_the_work_that_was_asked_for_and_not_the_number_of_jobs():
    queue: FairQueue[Item] = FairQueue()
    for item in (Item("a", "a-long", expected=3600.0), Item("a", "a-short", expected=10.0)):
        queue.put(item)
    for number in range(3):
        queue.put(Item("b", f"b{number}", expected=60.0))
    assert names(queue.order()) == "b0 b1 b2 a-long a-short"
    for number in range(100):  # many short ones end up waiting too
        queue.put(Item("b", f"later{number}", expected=60.0))
    place = [item.name for item in queue.order()].index("a-long")
    assert place == 3600 / 60 - 1


def test_who_asked_for_little_and_took_much_waits_for_the_others():
    queue: FairQueue[Item] = FairQueue()
    liar, other = Item("a", "a0", expected=1.0), Item("b", "b0", expected=50.0)
    for item in (liar, Item("a", "a1", expected=1.0), other):
        queue.put(item)
    assert queue.take() is liar
    queue.settle(liar, 1000.0)
    assert names(queue.order()) == "b0 a1"


def test_nobody_saves_up_turns_by_staying_away():
    queue: FairQueue[Item] = FairQueue()
    for number in range(3):
        queue.put(Item("a", f"a{number}", expected=100.0))
        queue.take()
    queue.put(Item("a", "a3", expected=100.0))
    for number in range(3):
        queue.put(Item("b", f"b{number}", expected=100.0))
    assert names(queue.order()) == "b0 a3 b1 b2"


def test_what_was_cancelled_takes_no_turn():
    queue, items = filled("aab")
    items[0].active = False
    assert names(queue.order()) == "a1 b2"
    assert queue.take() is items[1] and queue.take() is items[2]
    assert queue.order() == []


@given(owners=st.text("abcd", max_size=30), gone=st.sets(st.integers(0, 29)))
def test_the_order_that_is_shown_is_the_order_that_comes(owners, gone):
    queue, items = filled(owners)
    for number in gone & set(range(len(items))):
        items[number].active = False
    shown = queue.order()
    assert [queue.take() for _ in shown] == shown
    assert sorted(names(shown).split()) == sorted(item.name for item in items if item.active)
    for owner in set(owners):  # within a lane nobody overtakes
        lane = [item for item in shown if item.owner == owner]
        assert lane == [item for item in items if item.owner == owner and item.active]
