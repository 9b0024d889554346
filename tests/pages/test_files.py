"""Models & files: everything is there, also what is broken, and goes when it is deleted."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from fisherdash.workspace import belongings, jobs, limits, paths, users


def rows(app):
    return app.dataframe[0].value


def test_broken_files_are_listed_with_their_reason(open_page, water, model, short_run):
    (paths.folder("checkpoints") / "broken.safetensors").write_bytes(b"nothing")
    (paths.folder("studies") / "half").mkdir()
    (paths.folder("studies") / "odd").mkdir()
    (paths.folder("studies") / "odd" / "study.toml").write_bytes(b"\xff")
    app = open_page("files")
    found = dict(zip(rows(app)["name"], rows(app)["state"], strict=True))
    assert found == {"water": "", "tiny": "", "short": "", "half": "", "broken": "cannot be read",
                     "odd": "cannot be read"}  # fmt: skip
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


@pytest.fixture
def strange(own_workspace, water, model, short_run):
    """Beside sound work, what a disk may hold: pipes, loops of links, names that are no text."""
    home, header = own_workspace, short_run / "run.json"
    fields = json.loads(header.read_text())
    for number, (name, value) in enumerate(
        (("title", ["x"]), ("number", "x"), ("versions", 5), ("names", ["\ud800", "b"]),
         ("settings", {**fields["settings"], "timestep": 0}), ("dataset", {"source": [1]}))
    ):  # fmt: skip
        shutil.copytree(short_run, home / "runs" / f"odd-{number}")
        (home / "runs" / f"odd-{number}" / "run.json").write_text(
            json.dumps(fields | {name: value})
        )
    for place, name in (
        ("runs", "loop"), ("datasets", "loop.npz"), ("checkpoints", "loop.safetensors"),
        ("studies", "loop"), ("trainings", "loop"),
    ):  # fmt: skip
        (home / place).mkdir(exist_ok=True)
        (home / place / name).symlink_to(name)
        for ending in ("", ".npz", ".safetensors"):
            Path(os.fsdecode(os.fsencode(home / place) + b"/\xff" + ending.encode())).mkdir()
    for name in ("runs/pipe/run.json", "trainings/pipe/training.json", "studies/pipe/study.toml",
                 "datasets/pipe.npz", "checkpoints/pipe.safetensors"):  # fmt: skip
        (home / name).parent.mkdir(exist_ok=True)
        os.mkfifo(home / name)
    (home / "studies" / "pipe" / "members").mkdir()
    (home / "trainings" / "odd").mkdir()
    np.savez(home / "trainings" / "odd" / "state.npz", header='{"epoch": Infinity}')
    (home / "datasets" / "water.npz.note.txt").write_bytes(b"\xff" * 10_000)
    return home


@pytest.mark.parametrize(
    "page",
    ["home", "data", "train", "refit", "simulate", "drift", "compare", "study", "files"],
)
def test_nothing_on_the_disk_takes_a_page_away(strange, open_page, page):
    assert not open_page(page).exception


def test_what_no_page_can_show_is_listed_with_its_reason(strange, open_page):
    everything = belongings.everything()
    nameless = {one.sort for one in everything if "its name is no text" in one.problem}
    assert nameless >= {"run", "training", "study"}
    found = {one.name: one.problem for one in everything}
    assert "type" in found["odd-0"] and "above 0" in found["odd-4"]
    for one in everything:
        belongings.delete(one)
    assert not belongings.everything()
