"""Models & files: everything is there, also what is broken, and goes when it is deleted."""

import threading

import pytest

from fisherdash.workspace import jobs, limits, paths, users


def rows(app):
    return app.dataframe[0].value


def test_broken_files_are_listed_with_their_reason(open_page, water, model, short_run):
    (paths.folder("checkpoints") / "broken.safetensors").write_bytes(b"nothing")
    (paths.folder("studies") / "half").mkdir()
    app = open_page("files")
    found = dict(zip(rows(app)["name"], rows(app)["state"], strict=True))
    assert found == {"water": "", "tiny": "", "short": "", "half": "", "broken": "cannot be read"}
    assert any("broken: " in one.value and "not a" in one.value for one in app.caption)


@pytest.mark.parametrize("page", ["refit", "simulate", "compare"])
def test_a_broken_model_takes_no_page_away(open_page, water, model, page):
    (paths.folder("checkpoints") / "a-broken.safetensors").write_bytes(b"nothing")
    app = open_page(page)
    if page == "compare":
        app.segmented_control[0].set_value("Models").run()
        assert not app.exception
        assert "tiny" in app.dataframe[0].value["model"].tolist()
    assert not app.exception


def test_an_administrator_cancels_what_somebody_left_behind(open_page, coming_as, monkeypatch):
    started = threading.Event()

    def endless(cancel):
        while not cancel.is_set():
            started.set()
            yield jobs.JobProgress(0.5)

    with users.acting_for(coming_as("anna")):
        hers = jobs.submit("train", "an endless one", endless)
    assert started.wait(60)
    root = coming_as("root")
    assert not [one for one in open_page("files").button if one.label == "Cancel"]
    monkeypatch.setenv(limits.ADMINS, root)
    app = open_page("files")
    assert any(root in one.value for one in app.caption)
    next(one for one in app.button if one.label == "Cancel").click().run()
    assert not app.exception and hers.wait(60) and hers.status == "cancelled"
