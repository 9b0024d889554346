"""The structure's chart and sentence carry its own numbers."""

import numpy as np
import pytest

from fisherdash.analysis.structure import structure
from fisherdash.plots.figure import DEFAULT, FISHER
from fisherdash.plots.structure import structure_figure, structure_sentence


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
    lines = {line["name"]: line for line in made.option["series"]}
    assert list(lines) == ["data", "same", "other"]
    assert lines["other"]["color"] == FISHER.colour
    column = lines["other"]["encode"]["y"]
    source = made.option["dataset"]["source"]
    np.testing.assert_array_equal(source[column], found.heads["other"])
    peak = source[lines["other"]["encode"]["x"]][source[column].argmax()]
    assert peak == pytest.approx(1.9, abs=0.1)


def test_the_sentence_has_each_difference_and_the_floor(found):
    words = structure_sentence(found)
    assert f"other: {found.errors['other']:.3g}" in words and "dead: no survivors" in words
    assert f"{found.floor:.2g}" in words
