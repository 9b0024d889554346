"""The origin of a drift on the Drift page: one click, the same starts, and an answer."""

import numpy as np

from fisherdash import submit
from fisherdash.md import MDSettings
from fisherdash.workspace import jobs, open_run, paths

PATIENCE = 180.0


def button(app, label):
    return next(one for one in app.button if one.label == label)


def test_one_click_runs_the_same_starts_at_half_the_step_and_in_double(open_page, water, model):
    data_path = paths.folder("datasets") / "water.npz"
    model_path = paths.folder("checkpoints") / "tiny.safetensors"
    settings = MDSettings(replicas=3, steps=40, timestep=0.2, temperature=50.0, record_every=4)
    first = submit.simulation({"tiny": model_path}, data_path, {"tiny": model}, water, settings)
    assert first.wait(PATIENCE) and first.status == "finished", first.error
    app = open_page("drift", part="Origin of the drift")
    for label in ("Run at half the time step", "Run in double precision"):
        button(app, label).click().run()
        assert not app.exception, app.exception
        job = jobs.every("simulate")[0]
        assert job.wait(PATIENCE) and job.status == "finished", job.error
        app = open_page("drift", run=first.info["run"].name, part="Origin of the drift")
    assert not app.exception and not app.error
    run = open_run(first.info["run"])
    half, double = (open_run(job.info["run"]) for job in jobs.every("simulate")[1::-1])
    assert half.header.settings["timestep"] == 0.1 and half.step == 80
    assert double.header.settings["precision"] == "float64"
    for other in (half, double):
        np.testing.assert_allclose(other.times, run.times)
        np.testing.assert_array_equal(*(one.trajectories().kinetic[..., 0] for one in (other, run)))
        np.testing.assert_array_equal(other.frames(0, 1, [0]), run.frames(0, 1, [0]))
    words = "\n".join(str(item.value) for item in app.markdown)
    assert words.count("too few replicas") == 2  # three are no sample
    columns = [set(one.value.columns) for one in app.dataframe]
    assert any("left at Δt → 0" in one for one in columns)
    assert any("due to the round-off" in one for one in columns)


def test_a_run_whose_data_are_gone_is_one_sentence(open_page, short_run):
    app = open_page("drift", part="Origin of the drift")
    button(app, "Run in double precision").click().run()
    assert len(app.error) == 1 and "is not in the workspace" in app.error[0].value
