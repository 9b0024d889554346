"""The Study page: nothing yet, a population with its answer, one that has just begun, a new one."""

import io
import zipfile

import pytest

from fisherdash.study import prepare_study, read_spec, results
from fisherdash.study.tables import COLUMNS, Tables, empty, read_tables, write_tables
from fisherdash.workspace import jobs, paths
from tests.pages.conftest import settled
from tests.pages.test_pages import PATIENCE, texts
from tests.study import planted

TABLES = planted.tables(seed=5, models=8, replicas=4, temperatures=(500.0,), epochs=10)
SMALL = """
title = "water, small"
[[data]]
name = "water"
file = "water.npz"
valid = 5
test = 10
[[models]]
frames = 20
seed = [0, 1]
epochs = 1
features = 4
max_degree = 0
iterations = 1
basis = 4
[heads.plain]
ridge = 0
[dynamics]
temperature = 300
timestep = 0.5
replicas = 2
picoseconds = 0.01
frames = 5
"""


@pytest.fixture(autouse=True)
def no_shipped_study(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "shipped", lambda: tmp_path / "no studies")


def keep(name, tables, text='title = "Planted models"'):
    """A study of the workspace that is there as tables."""
    folder = paths.folder("studies") / name
    write_tables(tables, folder / "tables")
    (folder / "study.toml").write_text(text)
    return folder


def test_without_a_study_the_page_says_how_to_begin(open_page):
    app = open_page("study")
    assert app.title[0].value == "Study" and "There is no study yet" in app.info[0].value


def test_the_answer_stands_above_everything(open_page):
    keep("planted", TABLES)
    app = open_page("study")
    words = texts(app)
    assert "Planted models: 8 models" in words and "160 trajectories" in words
    assert any(item.value.startswith("### ") for item in app.markdown)
    assert "This rests on 8 models and 128 pairs" in words
    table = app.dataframe[0].value
    assert table["head"].tolist() == list(planted.HEADS)


@pytest.mark.parametrize(
    ("part", "title", "words"),
    [
        ("When it helps", "When it helps, and when it does not", "in thirds of the models"),
        ("Every member", "Every member", "How the models learned"),
        ("Toward 100 ns", "Toward 100 ns", "100 ns of one trajectory take"),
        ("Other remedies", "Other remedies", "trained in one way"),
        ("What could be seen", "What this study could have seen", "80 % probability"),
    ],
)
def test_every_part_is_drawn_on_request(open_page, part, title, words):
    keep("planted", TABLES)
    app = open_page("study")
    app.pills(key="part").set_value(part).run()
    assert not app.exception and not app.error
    assert title in {item.value for item in app.subheader} and words in texts(app)
    assert app.main.children[0].type == "title"  # nothing strays above it


def test_another_effect_and_condition_can_be_chosen(open_page):
    keep("planted", planted.tables(seed=5, models=7, replicas=3, epochs=5))
    app = open_page("study")
    assert app.dataframe[0].value["condition"].unique().tolist() == ["1000 K, 0.5 fs"]
    app.segmented_control(key="condition").set_value("500 K, 0.5 fs").run()
    assert app.dataframe[0].value["condition"].unique().tolist() == ["500 K, 0.5 fs"]
    app.pills(key="part").set_value("When it helps").run()
    app.segmented_control(key="effect").set_value("Drift").run()
    assert not app.exception and "Ratio of |drift|" in texts(app)


def test_the_primary_question_stands_first(open_page):
    question = '[primary]\nhead = "plain"\ntemperature = 500\n'
    keep("planted", planted.tables(seed=5, models=7, replicas=3, epochs=5), question)
    said = texts(open_page("study")).replace("\\", "")
    first = said.index(
        "**Primary question: do more trajectories survive 10 ps at 500 K with “plain”"
    )
    assert first < said.index("Of the other heads") < said.index("With “plain” the force RMSE")
    assert "When the question was asked is not known." in said
    assert "Everything else is secondary" in said


def test_a_study_that_has_just_begun_says_so(open_page):
    keep("begun", Tables(**{**vars(empty()), "models": TABLES.models, "losses": TABLES.losses}))
    app = open_page("study")
    assert "no dynamics yet" in app.info[0].value and not app.error


def test_a_study_that_never_began_is_listed_and_can_be_begun(open_page, water):
    data = paths.folder("datasets")
    folder = paths.folder("studies") / "waiting"
    prepare_study(read_spec(SMALL, data, inside=data), folder)
    app = settled(open_page("study"))
    assert app.selectbox(key="study").value == "waiting" and not app.error, app.error[0].value
    assert "2 models are not finished" in texts(app) and "no dynamics yet" in app.info[0].value
    next(item for item in app.button if item.label == "Go on with it").click().run()
    (job,) = jobs.every("study")
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    assert len(read_tables(folder / "tables").models) == 2


def test_a_damaged_table_is_one_sentence(open_page):
    folder = keep("damaged", TABLES)
    (folder / "tables" / "heads.csv").write_text("not,a,table\n1,2,3\n")
    app = open_page("study")
    assert len(app.error) == 1 and "table heads of a study has the columns" in app.error[0].value


def test_a_specification_with_a_mistake_is_one_sentence(open_page, water):
    app = open_page("study")
    app.segmented_control[0].set_value("Begin one").run()
    assert 'file = "water.npz"' in app.text_area[0].value
    app.text_area[0].set_value(SMALL.replace("water.npz", "../../secret.npz"))
    next(item for item in app.button if item.label == "Begin").click().run()
    assert len(app.error) == 1 and "outside of the folder" in app.error[0].value
    assert not jobs.every("study")


def test_the_example_is_a_specification_of_the_data(water):
    from fisherdash.study import read_spec

    path = paths.folder("datasets") / "water.npz"
    spec = read_spec(results.example(path, 60, 300.0), path.parent)
    assert len(spec.models) == 8 and spec.dynamics[0].temperature == 300.0
    most = max(model.frames for model in spec.models)
    data = spec.data["water"]
    assert most + data.valid + data.test <= 60


def test_a_study_from_the_page_ends_with_tables_and_an_answer(open_page, water):
    app = open_page("study")
    app.segmented_control[0].set_value("Begin one").run()
    app.text_area[0].set_value(SMALL)
    next(item for item in app.button if item.label == "Begin").click().run()
    assert not app.error, app.error[0].value
    job = jobs.every("study")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    found = read_tables(job.info["folder"] / "tables")
    assert len(found.models) == 2 and len(found.trajectories) == 2 * 2 * 2
    settled(app.segmented_control[0].set_value("What it says").run())
    assert not app.exception and "water, small: 2 models" in texts(app)
    assert app.selectbox(key="study").value == job.info["folder"].name  # not a sample
    kept = results.named(job.info["folder"].name)
    with zipfile.ZipFile(io.BytesIO(results.as_zip(kept, found))) as archive:
        assert set(archive.namelist()) == {"study.toml", *(f"tables/{n}.csv" for n in COLUMNS)}
