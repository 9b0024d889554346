"""Sentences about heads and about the answer, chosen by the specification and the numbers."""

import dataclasses

from fisherdash.study import words
from fisherdash.study.statistics import Findings
from tests.study import planted
from tests.study.planted import Effect

SPECIFICATION = """[primary]
head = "wide"
temperature = 500
models = 60
[heads.report]
head = "shared"
ridge = 0
[heads.wide]
head = "quadratic"
label_dynamics = 32
[heads.free]
method = "laplacian"
ridge = "auto"
[heads.fixed]
head = "by element"
ridge = 0.001
"""


def test_every_head_is_explained_by_its_settings() -> None:
    said = words.heads_in_words(SPECIFICATION)
    assert list(said) == ["default", "report", "wide", "free", "fixed"]
    assert said["report"] == (
        "one vector of weights for all atoms; fitted to the forces; without a ridge"
    )
    assert "products" in said["wide"] and "displaced frames, which need no labels" in said["wide"]
    assert said["wide"].endswith("with labels of 32 frames of its own dynamics")
    assert "without forces; the largest ridge within one standard error" in said["free"]
    assert said["fixed"].endswith("a ridge of 0.001 of the largest eigenvalue")
    for unreadable in ("", "not TOML [", '[heads.x]\nhead = "round"\n'):
        assert list(words.heads_in_words(unreadable)) == ["default"]


def test_the_answer_comes_first_then_the_other_heads_then_the_price() -> None:
    effects = {"report": Effect(hazard_spread=0.0, drift_spread=0.0), "wide": Effect(hazard=-1.5)}
    tables = planted.tables(seed=5, effects=effects, models=40, replicas=8, epochs=5)
    fitted = tables.timings.assign(stage="re-fit wide", seconds=2.0)
    trained = tables.timings.assign(stage="training", seconds=50.0)
    timings = type(fitted)([*fitted.to_numpy().tolist(), *trained.to_numpy().tolist()])
    timings.columns = tables.timings.columns
    found = Findings(dataclasses.replace(tables, timings=timings), SPECIFICATION)
    first, others, price = words.in_short(found)
    assert first.startswith("Primary question") and "Yes: more survive" in first
    (report,) = [one for one in found.comparisons if one.second == "report"
                 and one.condition.temperature == 500]  # fmt: skip
    change = report.survivors.scaled(100.0).text(sign=True)
    assert f"report {change} (not significant) points" in others and "wide" not in others
    (error,) = [one for one in found.force_errors if one.head == "wide"]
    assert f"×{error.change.text()} that of default" in price
    assert "the re-fit takes 2 s beside 50 s of training" in price
    energies = found.survivor_energies[report.condition]
    survivors = int(energies.loc["wide", "survivors judged"])
    assert f"the last frames of {survivors:,} survivors lie +0.1 standard deviations" in price
    assert "So far 40 of 60 models" in words.headline(found)
    assert words.in_short(Findings(tables)) == []
    told = words.elsewhere("Another", found)
    wide = found.primary.change.scaled(100.0).text(sign=True, unit="points")
    assert f"elsewhere (Another): “wide” changes the share of survivors by {wide}" in told
    assert "significant" not in told and words.elsewhere("Another", Findings(tables)) == ""
