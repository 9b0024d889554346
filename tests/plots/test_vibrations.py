"""Charts of vibrations, bonds and angles carry the numbers of the analysis."""

import numpy as np
import pytest

from fisherdash.analysis.structure import kinds, spectra
from fisherdash.plots.figure import DEFAULT, FISHER
from fisherdash.plots.structure import kind_figure, kinds_table, spectrum_figure, spectrum_sentence

STYLES = {"one": DEFAULT, "two": FISHER, "dead": FISHER}


def test_spectra_of_the_living_in_the_look_of_their_heads():
    velocities = np.random.default_rng(0).normal(size=(2, 64, 3, 3))
    by_name = {"one": velocities, "two": 2 * velocities[:1], "dead": velocities[:0]}
    found = spectra(by_name, np.ones(3), 1.0)
    made = spectrum_figure(found, STYLES)
    lines = {line["name"]: line for line in made.option["series"]}
    assert list(lines) == ["one", "two"] and lines["two"]["lineStyle"]["type"] == FISHER.dash
    shown = made.option["dataset"]["source"][lines["two"]["encode"]["y"]]
    np.testing.assert_allclose(shown, 1e3 * found.heads["two"])
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
    lines = {line["name"]: line for line in made.option["series"]}
    assert list(lines) == ["data", "one"] and "C–O length (Å)" in made.alt
    shown = made.option["dataset"]["source"][lines["one"]["encode"]["y"]]
    np.testing.assert_array_equal(shown, found[0].densities["one"])
