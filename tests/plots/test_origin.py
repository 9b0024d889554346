"""Tables and sentences of a drift's origin carry the analysis' own numbers."""

from fisherdash.analysis.drift import told_apart
from fisherdash.plots.structure import origin_sentences, origin_table
from tests.analysis.test_origin import planted


def test_what_is_due_to_the_step_and_what_is_left():
    found = told_apart(planted(1.1, 4.0), planted(0.5, 1.0, timestep=0.25), "time step")
    table = origin_table(found).set_index("head")
    assert table.loc["head", "due to the time step"] == found.due["head"].text(sign=True)
    assert table.loc["head", "order in Δt"] == f"{found.order['head']:.2f}"
    (words,) = origin_sentences(found)
    assert "of its drift is due to the time step" in words and " is left" in words
    assert "4 times smaller with half the step, as a time step small enough" in words


def test_a_fluctuation_that_does_not_fall_is_no_fluctuation_of_verlet():
    found = told_apart(planted(0.3, 1.0), planted(0.3, 1.0, timestep=0.25), "time step")
    (words,) = origin_sentences(found)
    assert "no drift due to the time step can be seen in 12 pairs" in words
    assert "something else fluctuates" in words


def test_too_few_pairs_are_said_to_be_too_few():
    found = told_apart(planted(1.0, 1.0, replicas=3), planted(1.0, 1.0, replicas=3), "round-off")
    assert origin_sentences(found) == ["head: too few replicas (3) survive both runs to tell."]
    assert "order in Δt" not in origin_table(found).columns
