"""What a killed dashboard left is named on the pages, and goes on from there with one button."""

import shutil

import pytest

from fisherdash.dataset import split
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import TrainSettings, resume
from fisherdash.workspace import TrainingHeader, begin_training, jobs, listing, paths, trainings
from tests.pages.test_pages import texts

PATIENCE = 180.0


@pytest.fixture
def killed(water):
    """A training that was killed after its second epoch, and how it ends without that."""
    config = ModelConfig(features=4, max_degree=0, iterations=1, basis=4)
    settings = TrainSettings(epochs=4, batch_size=10)
    header = TrainingHeader(
        title="a <b>title</b>", name="net", config=config.to_json(), settings=settings.to_json()
    )
    sets = split(water, 20, 10, 0)
    whole = paths.new_path("trainings", "whole", "")
    writer = begin_training(whole, header, *sets)
    folder = paths.place("trainings") / "killed"
    for report in writer.record(resume(header, *sets, trainings.state_file(whole))):
        if report.epoch == 2 and not folder.exists():
            shutil.copytree(whole, folder)
    return folder, report


def button(app, label):
    return next(item for item in app.button if item.label == label)


def test_a_training_that_was_killed_is_named_and_goes_on(open_page, killed):
    _, whole = killed
    for name in ("home", "train"):
        app = open_page(name)
        assert "Training, interrupted after epoch 2 of 4; all of that is kept" in texts(app)
        assert r"a \<b\>title\</b\>" in texts(app)  # what people typed is text
    button(app, "Go on").click().run()
    job = jobs.every("train")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    assert job.latest.history == whole.history
    app.run()
    assert not app.exception and "Unfinished work" not in texts(app)
    assert "python -m fisherdash resume" in app.code[0].value
    assert job.result == paths.place("checkpoints") / "net-2.safetensors"


def test_one_that_is_left_is_not_named_again_and_nothing_is_deleted(open_page, killed):
    folder, _ = killed
    app = open_page("home")
    button(app, "Leave it").click().run()
    assert not app.exception and "Unfinished work" not in texts(app)
    assert listing.interrupted("trainings") == [] and (folder / "state.npz").exists()


def test_a_run_that_was_killed_is_named(open_page, short_run):
    path = short_run / "run.json"
    path.write_text(path.read_text().replace('"finished"', '"running"'))
    app = open_page("home")
    assert "Run, interrupted after step 28 of 20" in texts(app)
    button(app, "Go on").click().run()
    assert not app.exception  # this one has no state: a sentence, and the page stands
    assert "before it had begun" in texts(app)
