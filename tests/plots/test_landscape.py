"""Maps and cuts of the loss carry the surfaces' own numbers, with one scale of colours."""

import numpy as np
import pytest

from fisherdash.landscape import Landscape, Loss, Sharpness, Surface
from fisherdash.plots import landscape as figures
from fisherdash.plots.chart import DEFAULT, FISHER

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
