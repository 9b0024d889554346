"""Curves of a training, and histograms of a data set.

Maps and cuts of the loss carry the surfaces' own numbers, with one scale of colours.
"""

import numpy as np
import pytest

from fisherdash.landscape import Landscape, Loss, Sharpness, Surface
from fisherdash.plots import training as figures
from fisherdash.plots.chart import DEFAULT, FISHER
from fisherdash.plots.training import histogram_figure, training_figure


def test_training_curve_marks_the_epoch_that_is_kept():
    made = training_figure([1, 2, 3], [0.5, 0.3, 0.1], [0.6, 0.4, 0.5], best=2)
    assert list(made.data[1].y) == [0.6, 0.4, 0.5] and made.data[1].name == "validation"
    assert made.layout.shapes[0].x0 == made.layout.shapes[0].x1 == 2
    assert made.layout.annotations[0].text == "best, epoch 2"
    assert made.layout.yaxis.type == "log"
    assert made.table["training (eV/Å)"].tolist() == [0.5, 0.3, 0.1] and made.alt
    short = training_figure([1, 2], [1.05, 1.01], [1.02, 1.0], best=2)
    assert short.layout.yaxis.type is None  # else a fifth of the chart for all of it
    for few in ([], [1.0]):
        training_figure(list(range(len(few))), few, few, best=None)


def test_histogram_counts_every_finite_value():
    values = np.append(np.random.default_rng(1).normal(size=1000), np.nan)
    made = histogram_figure(values, "force (eV/Å)")
    assert sum(made.data[0].y) == 1000 == made.table["count"].sum()
    assert made.layout.xaxis.title.text == "force (eV/Å)"


def test_energies_have_a_panel_of_their_own():
    made = training_figure([1, 2], [0.5, 0.3], [0.6, 0.4], 2, [0.2, 0.1])
    assert list(made.data[2].y) == [0.2, 0.1] and made.data[2].yaxis == "y2"
    assert made.layout.yaxis2.title.text == "energy RMSE (eV)"
    assert {shape.x0 for shape in made.layout.shapes} == {2}  # the best epoch in both
    assert [note.text for note in made.layout.annotations] == ["best, epoch 2"]
    assert made.table["energy, validation (eV)"].tolist() == [0.2, 0.1]


STEPS = np.array([-0.5, 0.0, 0.5])


def bowl(height: float, raised: float) -> Landscape:
    """A paraboloid with its lowest point in the middle, and a sharpness."""
    loss = height + 40.0 * (STEPS[:, None] ** 2 + 2.0 * STEPS**2)
    here, after = Loss(height, 0.01, 0.1), Loss(height + raised, 0.02, 0.3)
    sharp = Sharpness(0.05, here, after, gradient_norm=2.0, weights_norm=50.0)
    return Landscape(sharp, Surface(STEPS, loss, np.sqrt(loss)))


@pytest.fixture
def found():
    return {"default": bowl(2.0, 3.0), "fisher": bowl(1.0, 60000.0)}


def test_the_sentence_says_which_is_sharper_and_by_how_much(found):
    words = figures.sharpness_sentence(found)
    assert "fisher is 20,000 times as sharp" in words and "by 3 and" in words
    assert "of default by 3 (kcal/mol)²." in figures.sharpness_sentence(
        {"default": found["default"]}
    )


def test_the_table_has_the_numbers_in_full(found):
    table = figures.sharpness_table(found).set_index("model")
    assert table["sharpness (kcal/mol)²"].to_dict() == {"default": 3.0, "fisher": 60000.0}
    assert table.loc["fisher", "after the step (eV/Å)"] == 0.3


def test_the_maps_share_their_colours_and_show_every_point(found):
    surfaces = {name: one.surface for name, one in found.items()}
    surfaces["fisher"].loss[0, 0] = np.inf
    maps = figures.surface_figures(surfaces)
    scales = [(m.data[0].zmin, m.data[0].zmax) for m in maps.values()]
    assert scales[0] == scales[1] == (0.0, 2.0)
    heat = maps["default"].data[0]
    corner = heat.z[list(heat.y).index(0)][list(heat.x).index(-0.5)]
    assert 10**corner == pytest.approx(surfaces["default"].loss[0, 1])
    assert np.isfinite(maps["fisher"].data[0].z).all()
    assert "1 in the middle" in maps["fisher"].alt


def test_the_cut_goes_through_the_middle_in_each_models_look(found):
    surfaces = {name: one.surface for name, one in found.items()}
    made = figures.cut_figure(surfaces, {"default": DEFAULT, "fisher": FISHER})
    lines = {line.name: line for line in made.data}
    assert lines["fisher"].line.color == FISHER.colour
    np.testing.assert_array_equal(lines["fisher"].y, surfaces["fisher"].force_rmse[:, 1])
