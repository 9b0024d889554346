"""Tasks: one piece of work for the shell, which does it now, and for the pages, which queue it."""

import threading

import pytest

from fisherdash import dataset, tasks
from fisherdash.potentials import checkpoint
from fisherdash.settings import Options
from fisherdash.tasks import Task
from fisherdash.workspace import jobs
from fisherdash.workspace.estimates import Estimate
from fisherdash.workspace.jobs import JobProgress


def counting(steps: int = 4) -> Task[JobProgress, str]:
    """Counts, and tells of a half step in between."""

    def work(cancel, report):
        for done in range(steps):
            if cancel.is_set():
                return "stopped"
            yield JobProgress(done / steps, "counting", str(done))
            report(JobProgress((done + 0.5) / steps, "counting", f"{done} and a half"))
        return "counted"

    return Task("count", "a count", Estimate("count", 1.0), work, info={"sizes": {"steps": steps}})


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))


def test_a_page_queues_it_with_what_it_knows_beside(tmp_path):
    job = counting().submit(run=tmp_path / "run", command="fisherdash count")
    assert job.wait(30) and job.result == "counted" and job.title == "a count"
    assert job.progress == JobProgress(3.5 / 4, "counting", "3 and a half")
    assert job.info["sizes"] == {"steps": 4} and job.info["command"] == "fisherdash count"
    assert jobs.latest("count") is job and jobs.latest("nothing") is None


def test_a_part_of_a_longer_task_has_its_share_of_the_progress():
    told: list[JobProgress] = []
    work = tasks._part(counting(2), 0.5, 1.0, threading.Event(), told.append)
    assert [next(work).fraction, next(work).fraction] == [0.5, 0.75]
    with pytest.raises(StopIteration) as end:
        next(work)
    assert end.value.value == "counted"
    assert [one.fraction for one in told] == [0.625, 0.875]


def test_a_part_is_asked_to_stop_like_the_whole():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StopIteration) as end:
        next(tasks._part(counting(), 0.0, 1.0, cancel, lambda item: None))
    assert end.value.value == "stopped"


@pytest.mark.slow
def test_the_reports_head_is_computed_by_the_job_that_re_fits(
    trained_water, sampled_water, tmp_path
):
    """A page shows it beside a wider head; its own thread has nothing left to compute."""
    options = Options(head="quadratic", metric="noise", noise_frames=32, test_boltzmann=False)
    model, data = checkpoint.load(trained_water), dataset.load(sampled_water)
    job = tasks.solve(model, data, options, tmp_path / "wide.safetensors").submit()
    assert job.wait(300) and job.status == "finished"
    assert vars(job.result.prepared)["report_head"].prepared.options.head == "shared"
    assert list(job.result.beside("force_rmse")) == ["default", "fisher", "report"]
