"""The document of a study: the same bytes every time, and sentences that follow from the data."""

import dataclasses
import doctest
import functools
import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from fisherdash.study import words
from fisherdash.study.statistics import Findings
from fisherdash.study.tables import COLUMNS, Tables, empty, read_tables, write_tables
from fisherdash.text import number
from tests.browser import chromium
from tests.study import planted
from tests.study.planted import Effect
from tests.study.test_statistics import with_recipe
from tools import evidence as tool
from tools.evidence import document, markdown, safest, summary

SPECIFICATION = """title = "Planted"
[heads.plain]
ridge = 0
[heads.force-free]
method = "laplacian"
[recipe.longer]
epochs_factor = 2
"""
SMALL = planted.tables(seed=7, models=11, replicas=6, epochs=20)


def text_about(tables):
    """The document about these tables, without its pictures."""
    return document(Findings(tables, SPECIFICATION), SPECIFICATION, "make it", "pictures", ())


@functools.cache
def found_in_small():
    """The findings of the small study, made once."""
    return Findings(SMALL, SPECIFICATION)


@functools.cache
def text_about_small():
    """The document about the small study, made once."""
    return text_about(SMALL)


def test_examples_in_the_sentences_are_true():
    assert doctest.testmod(words).failed == 0


def written(folder, name):
    """What the tool makes of the small study, its folder beside an old picture."""
    study = folder / "study"
    write_tables(SMALL, study / "tables")
    (study / "study.toml").write_text(SPECIFICATION)
    out = folder / name / "evidence.md"
    (folder / name / "evidence").mkdir(parents=True)
    (folder / name / "evidence" / "old.svg").write_text("")
    assert tool.main([str(study), "--out", str(out)]) == 0
    return {path.name: path.read_bytes() for path in (folder / name).rglob("*.*")}


@chromium.needed
@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes(tmp_path):
    one, two = (written(tmp_path, name) for name in ("one", "two"))
    assert one == two and "old.svg" not in one and len(one) == 8
    text = one["evidence.md"].decode()
    for name in set(one) - {"evidence.md"}:
        assert f"](evidence/{name})" in text
        root = ElementTree.fromstring(one[name])
        assert root.tag.endswith("svg") and b"</text>" in one[name]


def texts(picture):
    """What a picture says, and how many lines and points it draws: the same in every Chromium."""
    root = ElementTree.fromstring(picture)
    drawn = Counter(node.get("class") for node in root.iter() if node.get("class"))
    said = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    words = [one for one in said if re.search("[a-z]", one)]  # ticks go with the font
    return words, drawn["js-line"], drawn["point"]


DOCUMENTS = {
    "evidence.md": (["ethanol_heads", "acetamide_heads"], 8),
    "evidence_recipes.md": (["ethanol"], 7),
}


@chromium.needed
@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_that_of_the_committed_tables(root, tmp_path, name):
    studies, pictures = DOCUMENTS[name]
    committed, stem = root / "docs" / name, name.removesuffix(".md")
    folders = [str(root / "studies" / one) for one in studies]
    tool.main([*folders, "--out", str(tmp_path / name)])
    assert (tmp_path / name).read_bytes() == committed.read_bytes()
    made = {path.name: texts(path.read_bytes()) for path in (tmp_path / stem).iterdir()}
    kept = {path.name: texts(path.read_bytes()) for path in (root / "docs" / stem).iterdir()}
    assert made == kept and len(made) == pictures


@pytest.mark.slow
def test_other_studies_are_told_by_their_answers():
    asked = SPECIFICATION + '[primary]\nhead = "plain"\ntemperature = 500\n'
    other = Findings(SMALL, asked)
    found = found_in_small()
    drawn = ["other.svg"]
    text = document(found, SPECIFICATION, "make it", "pictures", drawn, {"other": (other, asked)})
    alone = text_about(SMALL)
    assert "elsewhere" not in alone
    before, part = text.split("## The same question elsewhere")
    assert alone.startswith(before.rstrip())  # a study without a question of its own says no more
    for sentence in words.in_short(other):
        assert sentence in part
    assert "(pictures/other.svg)" in part and "| force-free | 1000 K, 0.5 fs |" in part


@pytest.mark.parametrize(
    ("effect", "answer"),
    [
        (Effect(hazard=-1.2, drift=-0.4), "Yes, with plain."),
        (Effect(hazard=1.2, drift=-0.4), "No: no re-fit was found to help, and some do harm."),
        (Effect(hazard_spread=0.0, drift_spread=0.0), "No effect could be shown, neither good"),
    ],
)
def test_the_answer_is_that_of_the_data(effect, answer):
    found = Findings(planted.tables(seed=4, effects={"plain": effect}, models=30, epochs=5))
    assert words.headline(found).startswith(answer)
    assert summary(found).startswith(answer) and "30 models" in summary(found)
    assert found.comparisons[0].verdict in text_about(found.whole)


def test_a_head_that_helps_here_and_harms_there_is_no_plain_yes():
    helps = planted.tables(4, {"plain": Effect(hazard=-1.2)}, 30, temperatures=(500.0,), epochs=5)
    harms = planted.tables(4, {"plain": Effect(hazard=1.2)}, 30, temperatures=(900.0,), epochs=5)
    both = {
        name: type(getattr(helps, name))(
            [*getattr(helps, name).to_numpy().tolist(), *getattr(harms, name).to_numpy().tolist()],
            columns=list(COLUMNS[name]),
        )
        for name in ("trajectories", "curves", "structure", "timings")
    }
    found = Findings(dataclasses.replace(helps, **both))
    assert words.answer(found).startswith("It depends")


@pytest.mark.slow
def test_every_number_of_the_table_is_that_of_the_statistics():
    found, text = found_in_small(), text_about_small()
    for one in found.comparisons:
        failures = f"| {one.second} | {one.condition} | {one.failures[0]} | {one.failures[1]} |"
        assert failures in text
        assert one.drift_ratio.text() in text
    assert f"{len(SMALL.trajectories):,} trajectories" in text
    assert SPECIFICATION.strip() in text
    assert "No GPU was measured" in text
    free = next(one for one in found.comparisons if one.second == "force-free")
    assert words.sentence(free) in text.split("## Without forces")[1]


def test_the_bounds_are_the_widest_of_all_intervals():
    found = found_in_small()
    ends = [100 * x for one in found.comparisons for x in (one.survivors.low, one.survivors.high)]
    (words_of_bounds,) = [one for one in words.grounds(found) if "reach from" in one]
    for end in (min(ends), max(ends)):
        assert number(end, sign=True) in words_of_bounds


def test_the_safest_head_has_the_best_worst_case():
    found = found_in_small()
    worst = {
        head: min(one.survivors.low for one in found.comparisons if one.second == head)
        for head in found.heads
    }
    assert safest(found).startswith(f"Safest is {max(worst, key=worst.get)}")


@pytest.mark.slow
def test_other_remedies_are_there_when_the_study_has_them():
    whole = with_recipe(SMALL, "b", "longer", epochs=40)
    text = text_about(whole)
    assert "| longer + plain |" in text and "Beside them 11 models of other recipes" in text
    assert "## Other remedies" not in text_about_small()
    few = whole.models["model"].str.endswith(("00", "01", "02"))
    part = {name: getattr(whole, name) for name in COLUMNS}
    kept = set(whole.models[few | (whole.models["recipe"] == "plain")]["model"])
    part = {name: table[table["model"].isin(kept)] for name, table in part.items()}
    assert "no test over 3 networks can be significant" in text_about(Tables(**part))


@pytest.mark.slow
@pytest.mark.parametrize("left", ["nothing", "models only", "three models", "no structure"])
def test_an_unfinished_study_has_a_document_too(left):
    some = {
        "nothing": empty(),
        "models only": dataclasses.replace(
            empty(), models=SMALL.models, losses=SMALL.losses, heads=SMALL.heads
        ),
        "three models": dataclasses.replace(
            SMALL, trajectories=SMALL.trajectories.query("model < 'm003'")
        ),
        "no structure": dataclasses.replace(
            SMALL, structure=SMALL.structure[:0], timings=SMALL.timings[:0]
        ),
    }[left]
    text = text_about(some)
    assert not re.search(r"\bnan\b|\bNone\b(?! of)", text)
    assert ("Nothing can be said yet" in text) == (left in ("nothing", "models only"))
    assert ("\n\nToo few models to tell." in text) == (left == "three models")


@pytest.mark.slow
def test_tables_that_were_written_say_the_same(tmp_path):
    write_tables(SMALL, tmp_path)
    again = Findings(read_tables(tmp_path), SPECIFICATION)
    verdicts = [one.verdict for one in again.comparisons]
    assert verdicts == [one.verdict for one in found_in_small().comparisons]


def test_cells_cannot_break_a_table():
    assert "a\\|b" in markdown(SMALL.models[["model"]].head(1).assign(x="a|b"))
