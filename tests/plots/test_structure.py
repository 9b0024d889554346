"""Structure, bonds, vibrations, the origin of a drift: what is drawn and said is what was found."""

import numpy as np
import pytest

from fisherdash.analysis.drift import told_apart
from fisherdash.analysis.structure import kinds, spectra, structure
from fisherdash.plots.chart import DEFAULT, FISHER
from fisherdash.plots.structure import (
    kind_figure,
    kinds_table,
    origin_sentences,
    origin_table,
    spectrum_figure,
    spectrum_sentence,
    structure_figure,
    structure_sentence,
)
from tests.analysis import planted


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    data, same, other = (
        np.stack([np.zeros((500, 3)), [mean, 0, 0] + 0.05 * rng.normal(size=(500, 3))], axis=1)
        for mean in (1.5, 1.5, 1.9)
    )
    return structure(data, {"same": same, "other": other, "dead": data[:0]})


def test_each_head_is_drawn_in_its_look_and_the_dead_are_not(found):
    made = structure_figure(found, {"same": DEFAULT, "other": FISHER, "dead": FISHER})
    lines = {line.name: line for line in made.data}
    assert list(lines) == ["data", "same", "other"]
    assert lines["other"].line.color == FISHER.colour and lines["data"].fill == "tozeroy"
    np.testing.assert_array_equal(lines["other"].y, found.heads["other"])
    peak = lines["other"].x[np.argmax(lines["other"].y)]
    assert peak == pytest.approx(1.9, abs=0.1)


def test_the_sentence_has_each_difference_and_the_floor(found):
    words = structure_sentence(found)
    assert f"other: {found.errors['other']:.3g}" in words and "dead: no survivors" in words
    assert f"{found.floor:.2g}" in words


STYLES = {"one": DEFAULT, "two": FISHER, "dead": FISHER}


def test_spectra_of_the_living_in_the_look_of_their_heads():
    velocities = np.random.default_rng(0).normal(size=(2, 64, 3, 3))
    by_name = {"one": velocities, "two": 2 * velocities[:1], "dead": velocities[:0]}
    found = spectra(by_name, np.ones(3), 1.0)
    made = spectrum_figure(found, STYLES)
    lines = {line.name: line for line in made.data}
    assert list(lines) == ["one", "two"] and lines["two"].line.dash == FISHER.dash
    np.testing.assert_allclose(lines["two"].y, 1e3 * found.heads["two"])
    assert "two: 1 replicas; dead: 0 replicas" in spectrum_sentence(found)


def test_bonds_and_angles_in_table_and_chart():
    rng = np.random.default_rng(1)
    frames = np.array([[1.4, 0, 0], [0, 0, 0], [-0.3, 0.9, 0]]) + 0.02 * rng.normal(size=(90, 3, 3))
    heads = {"one": 1.1 * frames, "dead": frames[:0]}
    found = kinds(frames, heads, (6, 8, 1), [(0, 1), (1, 2)])
    table = kinds_table(found).set_index("kind")
    assert table.index.tolist() == ["C–O (Å)", "O–H (Å)", "C–O–H (°)"]
    assert table.loc["C–O (Å)", "one: away from data"] == pytest.approx(0.14, rel=0.01)
    assert table.loc["C–O–H (°)", "one: away from data"] == pytest.approx(0.0, abs=1e-9)
    assert table.loc["C–O (Å)", "dead"] == "no survivors"
    made = kind_figure(found[0], STYLES)
    lines = {line.name: line for line in made.data}
    assert list(lines) == ["data", "one"] and "C–O length (Å)" in made.alt
    np.testing.assert_array_equal(lines["one"].y, found[0].densities["one"])


def test_what_is_due_to_the_step_and_what_is_left():
    found = told_apart(
        planted.swinging(1.1, 4.0), planted.swinging(0.5, 1.0, timestep=0.25), "time step"
    )
    table = origin_table(found).set_index("head")
    assert table.loc["head", "due to the time step"] == found.due["head"].text(sign=True)
    assert table.loc["head", "order in Δt"] == f"{found.order['head']:.2f}"
    (words,) = origin_sentences(found)
    assert "of its drift is due to the time step" in words and " is left" in words
    assert "4 times smaller with half the step, as a time step small enough" in words


def test_a_fluctuation_that_does_not_fall_is_no_fluctuation_of_verlet():
    found = told_apart(
        planted.swinging(0.3, 1.0), planted.swinging(0.3, 1.0, timestep=0.25), "time step"
    )
    (words,) = origin_sentences(found)
    assert "no drift due to the time step can be seen in 12 pairs" in words
    assert "something else fluctuates" in words


def test_too_few_pairs_are_said_to_be_too_few():
    found = told_apart(
        planted.swinging(1.0, 1.0, replicas=3), planted.swinging(1.0, 1.0, replicas=3), "round-off"
    )
    assert origin_sentences(found) == ["head: too few replicas (3) survive both runs to tell."]
    assert "order in Δt" not in origin_table(found).columns
