"""A large job on one's own machine is asked about, on a shared server refused."""

import threading

import pytest

from fisherdash.workspace import jobs, users
from pages.ui import server


def fill(app, **values):
    for label, value in values.items():
        next(one for one in app.number_input if one.label == label).set_value(value)


def button(app, label):
    return next((one for one in app.button if one.label == label), None)


def ask(app):
    """Press Train with ten million epochs, and look at the app, which asks above every page."""
    fill(app, Epochs=10**7)
    button(app, "Train").click().run()
    assert not app.exception and not app.error
    app.switch_page("app.py").run()


def test_a_large_job_is_asked_about_and_begins_when_it_is_agreed_to(open_page, water):
    end = threading.Event()

    def other(cancel):
        yield jobs.JobProgress(0.1)
        end.wait(120)

    before = jobs.submit("other", "a job at work, so that the training waits", other)
    app = open_page("train")
    ask(app)
    assert "This will take about" in app.warning[0].value and "days" in app.warning[0].value
    assert jobs.every() == [before]
    button(app, "Begin it").click().run()
    assert not app.exception and not app.error
    (job,) = jobs.every("train")
    assert button(app, "Begin it") is None
    job.cancel()
    end.set()
    assert before.wait(120)


def test_a_large_job_that_is_left_leaves_nothing_behind(open_page, water, own_workspace):
    app = open_page("train")
    ask(app)
    button(app, "Leave it").click().run()
    assert jobs.every() == [] and button(app, "Begin it") is None
    assert not list((own_workspace / "trainings").iterdir())


ENDLESS = {
    "train": ("Train", {"Epochs": 10**9}),
    "simulate": ("Simulate", {"Steps": 10**9}),
    "data": ("Make the sample", {"Frames": 10**8}),
}


@pytest.mark.parametrize("page", ENDLESS)
def test_nobody_occupies_a_shared_server_for_years(open_page, water, model, monkeypatch, page):
    anna = users.named("browser anna")
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    monkeypatch.setattr(server, "identity", lambda cookies: "browser anna")
    app = open_page(page)
    if page == "data":
        app.segmented_control(key="add data").set_value("Make a sample").run()
    label, values = ENDLESS[page]
    fill(app, **values)
    button(app, label).click().run()
    assert not app.exception and "this server allows" in app.error[0].value
    assert button(app, "Begin it") is None
    with users.acting_for(anna):
        assert jobs.every() == []
