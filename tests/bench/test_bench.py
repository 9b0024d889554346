"""The benchmarks' arithmetic on a clock that is known, and their door; no timing here."""

import json

import numpy as np
import pytest

from fisherdash import bench
from fisherdash.__main__ import main
from fisherdash.bench import ethanol, race


class Clock:
    """Time that passes only inside the calls that are measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(race.time, "perf_counter", lambda: self.now)

    def lasting(self, *seconds: float):
        waiting = list(seconds)

        def call() -> None:
            self.now += waiting.pop(0)

        return call


def test_a_race_gives_medians_and_the_ratio_round_by_round(monkeypatch):
    clock = Clock(monkeypatch)
    # The first call of each compiles. The machine slows down by ten in the second round.
    ours, peer = clock.lasting(99.0, 1.0, 10.0, 2.0), clock.lasting(55.0, 4.0, 40.0, 4.0)
    found = race.race(ours, peer, work=8.0, unit="steps/s", rounds=3)
    assert found == race.Result(ours=4.0, peer=2.0, ratio=4.0, unit="steps/s", spread=1.0)


def test_a_race_over_different_amounts_of_work(monkeypatch):
    clock = Clock(monkeypatch)
    ours, peer = clock.lasting(0.0, 2.0), clock.lasting(0.0, 2.0)
    found = race.race(ours, peer, work=64.0, peer_work=4.0, unit="steps/s", rounds=1)
    assert (found.ours, found.peer, found.ratio) == (32.0, 2.0, 16.0)


def test_times_are_compared_as_times(monkeypatch):
    clock = Clock(monkeypatch)
    found = race.compare_times(clock.lasting(0.0, 3.0), clock.lasting(0.0, 2.0), rounds=1)
    assert (found.ours, found.peer, found.ratio, found.unit) == (3.0, 2.0, 1.5, "s")


def test_every_name_has_its_benchmark():
    assert len(set(bench.NAMES)) == len(bench.NAMES) > 5
    assert all(callable(bench.benchmark(name)) for name in bench.NAMES)


def test_the_command_prints_one_key_a_benchmark(monkeypatch, capfd):
    result = bench.Result(3.0, 2.0, 1.5, "s")
    monkeypatch.setattr(bench, "benchmark", lambda name: lambda: result)
    assert main(["bench", "nve_ase", "forces_single", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert list(printed) == ["forces_single", "nve_ase"]
    assert printed["nve_ase"] == {"ours": 3.0, "peer": 2.0, "ratio": 1.5, "unit": "s", "spread": 0}


def test_an_unknown_benchmark_is_refused(capfd):
    assert main(["bench", "quick"]) == 2
    assert "there is no benchmark 'quick'; choose from forces_batch64" in capfd.readouterr().err


def test_the_benchmark_molecules_differ_and_hold_together():
    x = ethanol.positions(40)
    assert np.abs(x - ethanol.MOLECULE.positions).max() < 0.3
    assert np.ptp(x, axis=0).min() > 0.05
