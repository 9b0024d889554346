"""Every page: its title, what it says with nothing to show, and what it shows with something."""

import dataclasses
import io
import os
import shutil
import threading
import time
import zipfile

import numpy as np
import pytest
from flax.serialization import to_bytes

from fisherdash import dataset, viewer
from fisherdash.potentials import checkpoint as checkpoints
from fisherdash.workspace import belongings, jobs, paths
from pages.ui import run_panels
from pages.ui.progress import plain
from tests.pages.conftest import settled
from tests.potentials import folders
from tests.potentials.schnetpack import files
from tests.potentials.torchfile import module, saved

PATIENCE = 180.0


def texts(app):
    """All that can be read on the page."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "error", "warning", "success")
    return "\n".join(str(item.value) for kind in kinds for item in app.get(kind))


def metrics(app):
    return {item.label: item.value for item in app.metric}


def survivors(app):
    """Head → "n of m", as the cards of a run say it."""
    cards = (item.value.split("** — ") for item in app.markdown if "** — " in item.value)
    return {name.strip("*"): said.removesuffix(" survive") for name, said in cards}


@pytest.mark.parametrize(
    ("page", "title", "words"),
    [
        ("home", "FisherDash", "last layer"),
        ("data", "Data", "There is no data yet"),
        ("train", "Train", "Training needs a data set."),
        ("refit", "Re-fit", "A re-fit needs a trained model."),
        ("simulate", "Simulate", "Dynamics need a trained model."),
        ("drift", None, "There is no run yet."),  # its room goes to the charts
        ("trajectories", None, "There is no run yet."),  # leads to the page above
        ("compare", "Compare", "There is no run yet."),
        ("learn", "Learn", "Fisher divergence"),
    ],
)
def test_with_nothing_to_show_each_page_says_what_to_do(open_page, page, title, words):
    app = open_page(page)
    assert [item.value for item in app.title] == ([title] if title else [])
    assert words in texts(app)


def test_home_says_so_when_the_samples_are_missing(open_page):
    app = open_page("home")
    app.button(key="run demo").click().run()
    assert "There is no sample model" in app.error[0].value


def test_data_shows_the_frames_in_the_projects_units(open_page, water):
    app = open_page("data")
    shown = metrics(app)
    assert (
        shown["Molecule"] == "H2O" and shown["Frames"] == "60" and shown["Temperature"] == "300 K"
    )
    rms = float((water.forces**2).mean() ** 0.5)
    assert shown["Force RMS (eV/Å)"] == f"{rms:.3g}"
    assert "harmonic water" in texts(app)


def test_a_long_time_step_is_warned_of_in_the_words_of_the_page(open_page, water, model):
    app = open_page("simulate")
    next(item for item in app.number_input if item.label == "Time step (fs)").set_value(20.0).run()
    (warning,) = app.warning
    assert warning.value.startswith("The timestep of 20 fs is too long")
    assert "use “Time step” 0.5" in warning.value and "--" not in warning.value


def test_a_good_upload_is_kept_and_chosen(open_page, water, tmp_path):
    app = open_page("data")
    app.segmented_control(key="add data").set_value("Load a file").run()
    content = (paths.folder("datasets") / "water.npz").read_bytes()
    app.file_uploader(key="upload").upload("../../my water.npz", content)
    submit(app, "Load")
    assert not app.error
    assert app.selectbox(key="data").value == "my-water"
    assert metrics(app)["Frames"] == "60"
    assert not list(tmp_path.glob("*.npz"))  # the name led nowhere


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.npz", b"", "empty"),
        ("text.npz", b"hello, this is no npz", "text.npz"),
        ("frames.xyz", b"3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n", "frames.xyz"),
    ],
)
def test_a_bad_upload_is_one_sentence_and_leaves_what_was_loaded(
    open_page, water, name, content, words
):
    app = open_page("data")
    app.segmented_control(key="add data").set_value("Load a file").run()
    app.file_uploader(key="upload").upload(name, content)
    submit(app, "Load")
    assert len(app.error) == 1 and words in app.error[0].value
    assert "\n" not in app.error[0].value
    assert app.selectbox(key="data").value == "water" and metrics(app)["Frames"] == "60"


def test_a_bad_checkpoint_is_one_sentence_and_leaves_the_chosen_one(open_page, water, model):
    app = open_page("refit")
    app.file_uploader(key="own model").upload("bad.safetensors", b"\x00" * 64).run()
    assert len(app.error) == 1 and "bad.safetensors" in app.error[0].value
    assert app.selectbox(key="model").value == "tiny"


def test_a_model_of_another_library_becomes_a_checkpoint(open_page, water, model):
    app = open_page("refit")
    upload = saved(files.painn(width=4, hidden=(4,), cutoff=3.0, seed=1, dtype="f4"))
    app.file_uploader(key="foreign model").upload("best_model", upload).run()
    assert "“Energies in training”" in app.error[0].value and "--" not in app.error[0].value
    assert app.selectbox(key="model").value == "tiny"
    app.selectbox(key="foreign energy_unit").select("kcal/mol").run()
    app.text_input(key="foreign elements").set_value("H,O").run()
    app.file_uploader(key="foreign model").upload("best_model", upload).run()
    assert not app.exception and not app.error
    assert app.selectbox(key="model").value == "best_model"
    assert "SchNetPack" in texts(app)
    found = checkpoints.load(paths.folder("checkpoints") / "best_model.safetensors")
    assert found.elements == (1, 8) and found.provenance["energy_unit"] == "kcal/mol"
    mace = saved(module("mace.modules.models.MACE"))
    app.file_uploader(key="foreign model").upload("mace.model", mace).run()
    assert "name its file under “MACE, SO3LR, NequIP”" in app.error[0].value
    assert "fisherdash import" not in app.error[0].value
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in folders.files().items():
            archive.writestr(f"train0/{name}", content)
    app.file_uploader(key="foreign model").upload("ani.zip", packed.getvalue()).run()
    assert not app.exception and not app.error
    assert app.selectbox(key="model").value == "ani" and "NeuroChem" in texts(app)


def test_tutorial_parameters_become_a_checkpoint(open_page, water, model):
    loaded = checkpoints.load(paths.folder("checkpoints") / "tiny.safetensors")
    params = {
        **loaded.body,
        "Dense_2": {"kernel": loaded.head[:, None]},
        "element_bias": loaded.element_bias,
    }
    app = open_page("refit")
    app.number_input(key="tutorial cutoff").set_value(3.0).run()
    app.file_uploader(key="tutorial model").upload("wrong.bin", b"junk").run()
    assert len(app.error) == 1 and "E3x tutorial" in app.error[0].value
    assert app.selectbox(key="model").value == "tiny"
    app.file_uploader(key="tutorial model").upload("tutorial.bin", to_bytes(params)).run()
    assert not app.error and app.selectbox(key="model").value == "tutorial"
    assert "cutoff 3 Å" in texts(app)


def test_training_from_the_page_ends_with_a_checkpoint(open_page, water):
    app = open_page("train")
    for label, value in {
        "Training frames": 20, "Validation frames": 10, "Epochs": 2, "Features": 4,
        "Highest degree": 0, "Iterations": 1, "Radial basis": 4, "Weight averaging (EMA)": 0.5,
        "Gradient clipping": 2.0, "Sharpness radius": 0.01,
    }.items():  # fmt: skip
        next(item for item in app.number_input if item.label == label).set_value(value)
    rate = next(item for item in app.selectbox if item.label == "Learning rate over time")
    rate.set_value("cosine")
    submit(app, "Train")
    job = jobs.every("train")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert not app.exception
    assert "water-model" in texts(app) and "of epoch" in app.success[0].value
    assert "Time left" not in metrics(app)  # it has ended
    assert float(metrics(app)["Energy RMSE (eV)"]) > 0
    assert "python -m fisherdash train" in app.code[0].value
    for words in ("average 0.5", "clip 2 ", "sharpness-radius 0.01", "schedule cosine"):
        assert f"--{words}" in app.code[0].value
    assert (paths.folder("checkpoints") / "water-model.safetensors").exists()


def test_too_many_frames_are_refused_with_the_loaders_sentence(open_page, water):
    app = open_page("train")
    number = next(item for item in app.number_input if item.label == "Training frames")
    number.set_value(500)
    submit(app, "Train")
    assert "60 frames, too few for 500 training" in app.error[0].value


def test_refit_from_the_page_shows_before_and_after(open_page, water, model):
    app = open_page("refit")
    next(item for item in app.button if item.label == "Re-fit").click().run()
    job = jobs.every("refit")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert not app.exception
    table = app.dataframe[0].value
    assert table["quantity"].tolist()[0] == "force RMSE (eV/Å)"
    for column, head in (("default head", "default"), ("Fisher head", "fisher")):
        shown = job.result.force_rmse[head], job.result.head_norm[head]
        assert float(table[column][0]) == pytest.approx(shown[0], rel=1e-3)
        assert float(table[column][3]) == pytest.approx(shown[1], rel=1e-3)
    assert plain(job.result.verdict) in texts(app)
    assert "python -m fisherdash solve" in app.code[0].value
    assert job.info["out"].exists()
    name = job.info["out"].stem
    assert f"Kept as {plain(name)}." in texts(app)
    belongings.rename(job.info["out"], "another name")
    app.run()
    assert f"{plain(name)} was renamed or deleted since." in texts(app)


def test_a_learning_curve_is_computed_on_request(open_page, water, model):
    app = open_page("refit")
    next(item for item in app.button if item.label == "Re-fit").click().run()
    assert jobs.every("refit")[0].wait(PATIENCE)
    app.run()
    submit(app, "Compute the learning curve")
    (job,) = jobs.every("curve")
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert not app.exception and "Tested on 12 frames that were not fitted" in texts(app)
    table = next(one.value for one in app.dataframe if "draws" in one.value)
    assert table["frames"].tolist() == [10, 20, 48] and table["draws"].tolist() == [3, 3, 1]
    assert "fisherdash curve" in job.info["command"]


def test_error_bars_of_a_replica_need_a_re_fitted_checkpoint(open_page, short_run, model):
    other = checkpoints.Checkpoint(
        **{**vars(model), "elements": (1, 6, 8), "name": "fitted"},
    )
    size = len(other.head)
    fitted = other.with_head(other.head, other.element_bias, "fitted", {}, np.eye(size))
    app = open_page("drift")
    app.toggle(key="bars").set_value(True).run()
    assert "Only a re-fit leaves a head with error bars" in texts(app)
    checkpoints.save(fitted, paths.folder("checkpoints") / "fitted.safetensors")
    settled(app.run())
    assert app.selectbox(key="bars model").options == ["fitted"]
    assert not app.exception and not app.error
    assert "the error of the body comes on top" in texts(app).lower()


def test_error_bars_are_those_of_the_file_also_where_only_the_covariance_differs(
    open_page, short_run, model, monkeypatch
):
    """A fingerprint leaves the covariance out: another file's error bars were once shown."""
    size, drawn = len(model.head), []
    monkeypatch.setattr(
        run_panels.recordings,
        "error_bars",
        lambda model, run, heads, replica: (
            drawn.append(float(model.head_covariance[0, 0]))
            or (run.times, [np.ones(len(run.times)) for _ in heads])
        ),
    )
    for name, scale in (("one", 1.0), ("two", 9.0)):
        same = model.with_head(model.head, model.element_bias, name, {}, scale * np.eye(size))
        checkpoints.save(same, paths.folder("checkpoints") / f"{name}.safetensors")
    app = open_page("drift")
    settled(app.toggle(key="bars").set_value(True).run())
    for name in ("two", "one"):
        settled(app.selectbox(key="bars model").select(name).run())
    assert sorted(drawn) == [1.0, 9.0]


@pytest.mark.parametrize(
    ("asked", "given"),
    [("0.004", 0.004), ("nan", None), ("-inf", None), ("1e999", None), ("soon", None)],
)
def test_a_time_in_the_address_that_no_browser_reads_is_none(
    open_page, short_run, monkeypatch, asked, given
):
    """A link with time=nan once sent a text to the browser that is no JSON."""
    moments, payload = [], viewer.payload
    monkeypatch.setattr(
        viewer,
        "payload",
        lambda *args, **more: moments.append(more["moment"]) or payload(*args, **more),
    )
    open_page("drift", run="short", time=asked)
    assert moments and set(moments) == {given}


def test_simulate_launches_a_run_that_the_page_of_drift_shows(open_page, water, model):
    app = open_page("simulate")
    for label, value in {"Replicas": 2, "Steps": 40}.items():
        next(item for item in app.number_input if item.label == label).set_value(value)
    app.run()
    said = texts(app)
    assert "1 × 2 trajectories of 0.02 ps." in said and "5 frames of each trajectory" in said
    next(item for item in app.button if item.label == "Simulate").click().run()
    job = jobs.every("simulate")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    assert "finished" in texts(app)
    app.switch_page("pages/drift.py").run()
    settled(app)
    assert survivors(app)["tiny"].endswith("of 2")
    assert app.number_input(key="replica 0").value == 1


def test_simulate_begins_with_the_newest_model(open_page, water, model):
    path = paths.folder("checkpoints") / "another.safetensors"
    checkpoints.save(dataclasses.replace(model, head=2.0 * model.head, name="another"), path)
    for age, chosen in ((60, "another"), (-60, "tiny")):
        os.utime(path, (path.stat().st_atime, time.time() + age))
        assert open_page("simulate").multiselect(key="models").value == [chosen]


def test_simulate_sets_the_potential_that_labelled_the_frames_beside_a_model(
    open_page, water, model
):
    assert not any("GFN2-xTB" in item.label for item in open_page("simulate").button)
    made = dataclasses.replace(water, source="GFN2-xTB, 300 K")
    dataset.save(made, paths.folder("datasets") / "water.npz")
    app = open_page("simulate")
    next(item for item in app.button if item.label == "Add GFN2-xTB itself").click().run()
    assert not app.exception and not app.error
    assert app.multiselect(key="models").value == ["tiny", "GFN2-xTB"]
    assert not any("GFN2-xTB" in item.label for item in app.button)  # it is in the list from now on
    for label, value in {"Replicas": 2, "Steps": 20}.items():
        next(item for item in app.number_input if item.label == label).set_value(value)
    next(item for item in app.run().button if item.label == "Simulate").click().run()
    job = jobs.every("simulate")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.switch_page("pages/drift.py").run()
    settled(app)
    assert survivors(app)["GFN2-xTB"] == "2 of 2"
    app = open_page("refit", model="GFN2-xTB")
    assert len(app.error) == 1 and "no last layer to re-fit" in app.error[0].value


def test_drift_reads_drift_and_survival_together(open_page, short_run):
    app = open_page("drift")
    assert survivors(app) == {"default head": "3 of 3", "Fisher head": "2 of 3"}
    table = next(one.value for one in app.dataframe if "survivors" in one.value.columns)
    assert table["survivors"].tolist() == ["3 of 3", "2 of 3"]
    assert table.columns[2] == "failures"
    assert table.columns[3] == "drift (meV/atom/ps), median [95 %]"
    assert not app.code  # of a tab that is not open
    assert "python -m fisherdash compare" in open_page("drift", part="Download").code[0].value


def test_structure_is_held_against_data_of_the_same_molecule_only(open_page, short_run, water):
    app = open_page("drift", part="Structure")
    assert not app.exception
    assert "water holds another molecule" in app.error[0].value


def test_a_damaged_run_is_one_sentence_and_the_page_stands(open_page, short_run):
    (short_run / "chunk-000001.npz").write_bytes(b"half a chu")
    app = open_page("drift")
    assert "chunk-000001.npz cannot be read" in app.error[0].value
    assert app.selectbox(key="run").options == ["short"]


def test_trajectories_begin_with_the_first_start_and_go_where_the_address_says(
    open_page, short_run
):
    app = open_page("trajectories")
    assert app.number_input(key="replica 0").value == 1 and "broke" not in texts(app)
    app = open_page("trajectories", replica="3")
    assert app.number_input(key="replica 0").value == 3
    assert "Fisher head, replica 3: O1–H3 bond broke at 0.0055 ps" in texts(app)


@pytest.mark.parametrize("number", ["99", "-1", "inf", "nan", "9" * 400, "two", "٣"])
def test_a_replica_that_the_run_does_not_have_becomes_the_first(open_page, short_run, number):
    app = open_page("trajectories", replica=number)
    assert app.number_input(key="replica 0").value == 1


def test_compare_has_a_row_for_every_head_of_every_run(open_page, short_run):
    shutil.copytree(short_run, short_run.with_name("another"))
    app = open_page("compare")
    table = app.dataframe[0].value
    assert sorted(zip(table["run"], table["head"], strict=True)) == [
        ("another", "Fisher head"), ("another", "default head"),
        ("short", "Fisher head"), ("short", "default head"),
    ]  # fmt: skip
    by_head = table[table["run"] == "short"].set_index("head")
    assert by_head["survivors (%)"].round(1).to_dict() == {
        "default head": 100.0,
        "Fisher head": 66.7,
    }
    assert app.code[0].value.count("python -m fisherdash compare") == 2


def test_compare_evaluates_models_on_the_same_frames(open_page, water, model):
    app = open_page("compare")
    app.segmented_control[0].set_value("Models").run()
    assert app.dataframe[0].value["model"].tolist() == ["tiny"]
    assert "FisherDashCalculator('tiny.safetensors')" in app.code[-1].value
    app.multiselect(key="evaluated").set_value(["tiny"]).run()
    next(item for item in app.button if item.label == "Evaluate").click().run()
    job = jobs.every("evaluate")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    settled(app.run())
    shown = app.dataframe[1].value.loc[0, "force RMSE (eV/Å)"]
    assert shown == job.result["tiny"].errors().force_rmse > 0.1


def test_an_address_chooses_the_run(open_page, short_run):
    shutil.copytree(short_run, short_run.with_name("another"))
    for name in ("another", "short"):
        assert open_page("drift", run=name).selectbox(key="run").value == name


def test_an_address_whose_run_is_gone_says_so_and_shows_no_other(open_page, short_run):
    app = open_page("drift", run="no-such-run")
    assert "no run called no-such-run" in app.error[0].value
    assert not survivors(app)
    app.selectbox(key="run").select("short").run()
    assert survivors(settled(app))["default head"] == "3 of 3"


def submit(app, label):
    next(item for item in app.button if item.label == label).click().run()
    assert not app.exception, app.exception


def test_only_the_re_fit_of_the_chosen_model_is_shown(open_page, water, model):
    other = model.with_head(2.0 * model.head, model.element_bias, "other", {})
    checkpoints.save(other, paths.folder("checkpoints") / "other.safetensors")
    app = open_page("refit", model="tiny")
    next(item for item in app.button if item.label == "Re-fit").click().run()
    job = jobs.every("refit")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    app.run()
    verdict = plain(job.result.verdict)
    assert verdict in texts(app)
    app.selectbox(key="model").set_value("other").run()
    assert verdict not in texts(app) and not app.exception
    app.selectbox(key="model").set_value("tiny-fisher").run()  # what it made
    assert verdict in texts(app)


def test_a_queued_job_says_behind_what(open_page, water, model):
    begun, end = threading.Event(), threading.Event()

    def busy(cancel):
        begun.set()
        end.wait(PATIENCE)
        yield jobs.JobProgress(1.0)

    first = jobs.submit("train", "a long one", busy)
    assert begun.wait(PATIENCE)
    app = open_page("refit", model="tiny")
    next(item for item in app.button if item.label == "Re-fit").click().run()
    job = jobs.every("refit")[0]
    assert "waits for train \\(a long one\\)" in texts(app)
    job.cancel()
    end.set()
    assert first.wait(PATIENCE)


def test_an_uploaded_model_joins_those_that_are_chosen(open_page, water, model):
    content = (paths.folder("checkpoints") / "tiny.safetensors").read_bytes()
    app = open_page("simulate")
    app.file_uploader(key="own model").upload("mine.safetensors", content).run()
    assert not app.exception and not app.error
    assert app.multiselect(key="models").value == ["tiny", "mine"]
    app.switch_page("pages/refit.py").run()
    assert app.selectbox(key="model").value == "mine"
    app = open_page("compare")
    app.segmented_control[0].set_value("Models").run()
    app.file_uploader(key="own model").upload("again.safetensors", content).run()
    assert app.multiselect(key="evaluated").value == ["again"]
    app.file_uploader(key="own model").upload("bad.safetensors", b"no model").run()
    assert len(app.error) == 1 and app.multiselect(key="evaluated").value == ["again"]


def test_several_models_are_brought_at_once_each_of_them_once(open_page, water, model):
    content = (paths.folder("checkpoints") / "tiny.safetensors").read_bytes()
    app = open_page("simulate")
    field, octets = app.file_uploader(key="own model"), "application/octet-stream"
    three = [("one.safetensors", content), ("bad.safetensors", b"no model"),
             ("two.safetensors", content)]  # fmt: skip
    field.set_value([(*one, octets) for one in three]).run()
    assert not app.exception and len(app.error) == 1 and "bad.safetensors" in app.error[0].value
    assert app.multiselect(key="models").value == ["tiny", "one", "two"]
    app.multiselect(key="models").set_value(["two"]).run()
    assert not app.error
    field = app.file_uploader(key="own model")
    field.upload("three.safetensors", content).run()  # beside those that the field holds
    assert app.multiselect(key="models").value == ["two", "three"]
    assert {path.stem for path in paths.files("checkpoints")} == {"tiny", "one", "two", "three"}


def test_simulate_says_where_the_temperature_settles(open_page, water, model):
    app = open_page("simulate")
    assert "settle" not in texts(app)  # 300 K of the data
    number = next(item for item in app.number_input if item.label == "Temperature (K)")
    number.set_value(1500.0).run()
    assert "settle between the two, near 900 K" in texts(app)
