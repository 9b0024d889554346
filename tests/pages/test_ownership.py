"""One's own data and models: named, corrected and deleted from the pages."""

import shutil

from fisherdash import dataset
from fisherdash.workspace import entries, paths
from tests.pages.conftest import settled
from tests.pages.test_pages import metrics, texts


def button(app, label):
    return next(item for item in app.button if item.label == label)


def test_a_data_set_is_renamed_and_stays_chosen(open_page, water):
    app = open_page("data")
    app.text_input(key="new name of water.npz").set_value("Water at 300 K").run()
    button(app, "Rename").click().run()
    assert not app.exception and not app.error
    assert app.selectbox(key="data").value == "Water-at-300-K"
    assert [path.stem for path in paths.files("datasets")] == ["Water-at-300-K"]


def test_a_taken_name_is_one_sentence_and_changes_nothing(open_page, water):
    dataset.save(water, paths.folder("datasets") / "other.npz")
    app = open_page("data", data="water")
    app.text_input(key="new name of water.npz").set_value("other").run()
    button(app, "Rename").click().run()
    assert [error.value for error in app.error] == ["the name other is taken; choose another one"]
    assert app.selectbox(key="data").value == "water"


def test_a_deleted_data_set_is_gone_and_the_page_says_what_to_do(open_page, water):
    app = open_page("data")
    button(app, "Delete water").click().run()
    assert not app.exception and paths.files("datasets") == []
    assert "There is no data yet" in texts(app)


def test_the_temperature_is_set_right_in_place(open_page, water):
    app = open_page("data")
    assert metrics(app)["Temperature"] == "300 K"
    app.number_input(key="temperature of water.npz, 300.0").set_value(350.0).run()
    button(app, "Keep it").click().run()
    assert metrics(app)["Temperature"] == "350 K" and "set by hand" in texts(app)
    kept = dataset.load(paths.folder("datasets") / "water.npz")
    assert kept.temperature == 350.0 and kept.fingerprint == water.fingerprint
    app.number_input(key="temperature of water.npz, 350.0").set_value(None).run()
    button(app, "Keep it").click().run()
    assert metrics(app)["Temperature"] == "unknown"


def test_a_model_is_renamed_on_the_compare_page(open_page, water, model):
    app = open_page("compare")
    app.segmented_control[0].set_value("Models").run()
    app.text_input(key="new name of tiny.safetensors").set_value("a better name").run()
    button(app, "Rename").click().run()
    assert not app.exception and not app.error
    assert app.selectbox(key="model").value == "a-better-name"


def test_samples_have_no_such_menu(open_page, water, monkeypatch, tmp_path):
    samples = tmp_path / "samples"
    (paths.folder("datasets") / "water.npz").rename(samples_file(samples))
    monkeypatch.setattr(paths, "samples", lambda: samples)
    app = open_page("data")
    assert app.selectbox(key="data").value == "water (sample)"
    assert not [one for one in app.button if one.label.startswith(("Rename", "Delete", "Keep"))]


def samples_file(folder):
    folder.mkdir()
    return folder / "water.npz"


def test_a_file_that_cannot_be_read_can_be_deleted(open_page, water, model):
    (paths.folder("datasets") / "broken.npz").write_bytes(b"no npz")
    app = open_page("data")
    assert app.selectbox(key="data").value == "broken" and len(app.error) == 1
    button(app, "Delete broken").click().run()
    assert app.selectbox(key="data").value == "water" and not app.error
    (paths.folder("checkpoints") / "broken.safetensors").write_bytes(b"nothing")
    app = open_page("compare")
    app.segmented_control[0].set_value("Models").run()
    assert not app.exception and len(app.error) == 1 and "broken" in app.error[0].value
    assert "tiny" in app.dataframe[0].value["model"].tolist()


def test_a_run_is_named_annotated_and_deleted(open_page, short_run):
    app = open_page("drift", run="short", part="About")
    app.text_input(key="note of short").set_value("half the *step*").run()
    assert r"half the \*step\*" in texts(app)
    app.text_input(key="new name of short").set_value("the first").run()
    button(app, "Rename").click().run()
    assert not app.exception and not app.error
    assert app.selectbox(key="run").value == "the-first" and "half the" in texts(app)
    app.switch_page("pages/compare.py").run()
    settled(app)
    table = app.dataframe[0].value
    assert table["note"].tolist() == ["half the *step*"] * 2
    assert table["run"].tolist() == ["the-first"] * 2
    app.switch_page("pages/drift.py").run()
    settled(app)
    button(app, "Delete the-first").click().run()
    assert "There is no run yet" in texts(app) and entries("runs") == []


def test_runs_share_a_chart_until_one_wants_them_apart(open_page, short_run):
    shutil.copytree(short_run, short_run.with_name("other"))
    app = open_page("compare")
    assert "a colour for each run" in texts(app)
    next(one for one in app.segmented_control if "Side by side" in one.options).set_value(
        "Side by side"
    ).run()
    assert "a colour for each run" not in texts(app) and not app.exception
    assert "note" not in app.dataframe[0].value.columns  # where there is none
