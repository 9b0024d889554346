"""Curves of a training, and histograms of a data set."""

import numpy as np

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
