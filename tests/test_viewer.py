"""The curves that stand beside the molecules carry the run's own numbers."""

import base64
import json

import numpy as np
import pytest

from fisherdash import viewer
from fisherdash.analysis import total_energy_change
from fisherdash.plots.figure import DEFAULT, FISHER
from tests.plots.planted import trajectories

ENDINGS = [[""] * 5, ["", "", "C1–C2 bond broke at 0.3 ps", "", ""]]


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.fixture
def made():
    return viewer.curves(trajectories(), (DEFAULT, FISHER), ENDINGS)


def lines(made, chart):
    return next(one for one in made["charts"] if one["id"] == chart)["lines"]


def test_every_replica_and_the_median_are_there(made):
    found = {(one["head"], one["replica"]): decoded(one["values"]) for one in lines(made, "drift")}
    change = total_energy_change(trajectories())
    assert set(found) == {(h, r) for h in (0, 1) for r in range(-1, 5)}
    for head in (0, 1):
        for replica in range(5):
            np.testing.assert_allclose(found[head, replica], change[head, replica], atol=1e-4)
    np.testing.assert_allclose(found[1, -1], 2.0 * np.arange(40), atol=1e-4)
    np.testing.assert_allclose(decoded(made["times"]), 0.01 * np.arange(40), rtol=1e-6)


def test_the_dead_are_marked_where_they_died(made):
    assert made["deaths"] == [
        {"head": 1, "replica": 2, "time": 0.3, "words": "C1–C2 bond broke at 0.3 ps"}
    ]
    alive = decoded(lines(made, "alive")[1]["values"])
    assert alive.tolist() == [5] * 30 + [4] * 10
    assert [head["name"] for head in made["heads"]] == ["a: 5 of 5 survive", "b: 4 of 5 survive"]


def test_temperature_is_that_of_the_kinetic_energy(made):
    # three internal degrees of freedom: T = 2 · 0.1 eV / (3 k_B)
    heat = decoded(lines(made, "temperature")[0]["values"])
    np.testing.assert_allclose(heat, 0.2 / (3 * 8.617333e-5), rtol=1e-5)


def test_limits_hold_what_is_shown_and_everything_is_plain_data(made):
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    for chart in made["charts"]:
        values = np.concatenate([decoded(one["values"]) for one in chart["lines"]])
        values = values[np.isfinite(values)]
        assert chart["low"] < chart["high"] and chart["alt"]
        assert np.mean((values >= chart["low"]) & (values <= chart["high"])) > 0.98


def test_long_runs_of_many_replicas_stay_small():
    traj = trajectories(frames=20_000, replicas=64, deaths=())
    endings = [[""] * 64] * 2
    made = viewer.curves(traj, (DEFAULT, FISHER), endings)
    assert len(json.dumps(made)) < 1_000_000
    assert made["end"] == pytest.approx(traj.duration)
    assert made["deaths"] == []
