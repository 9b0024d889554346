"""The benchmarks' arithmetic on a clock that is known, and their door; no timing here."""

import functools
import json
import re
import sys

import jax
import numpy as np
import pytest

from fisherdash import bench
from fisherdash.__main__ import main
from fisherdash.bench import dynamics, inputs, network
from fisherdash.bench import dynamics as scaling
from fisherdash.errors import InputError
from fisherdash.potentials import e3x
from tests.browser import chromium


class Clock:
    """Time that passes only inside the calls that are measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(bench.time, "perf_counter", lambda: self.now)

    def lasting(self, *seconds: float):
        waiting = list(seconds)

        def call() -> None:
            self.now += waiting.pop(0)

        return call


def test_a_race_gives_medians_and_the_ratio_round_by_round(monkeypatch):
    clock = Clock(monkeypatch)
    # The first call of each compiles. The machine slows down by ten in the second round.
    ours, peer = clock.lasting(99.0, 1.0, 10.0, 2.0), clock.lasting(55.0, 4.0, 40.0, 4.0)
    found = bench.race(ours, peer, work=8.0, unit="steps/s", rounds=3)
    assert found == bench.Result(ours=4.0, peer=2.0, ratio=4.0, unit="steps/s", spread=1.0)


def test_a_race_over_different_amounts_of_work(monkeypatch):
    clock = Clock(monkeypatch)
    ours, peer = clock.lasting(0.0, 2.0), clock.lasting(0.0, 2.0)
    found = bench.race(ours, peer, work=64.0, peer_work=4.0, unit="steps/s", rounds=1)
    assert (found.ours, found.peer, found.ratio) == (32.0, 2.0, 16.0)


def test_times_are_compared_as_times(monkeypatch):
    clock = Clock(monkeypatch)
    found = bench.compare_times(clock.lasting(0.0, 3.0), clock.lasting(0.0, 2.0), rounds=1)
    assert (found.ours, found.peer, found.ratio, found.unit) == (3.0, 2.0, 1.5, "s")


def test_every_name_has_its_benchmark():
    assert len(set(bench.NAMES)) == len(bench.NAMES) > 5
    assert all(callable(bench.benchmark(name)) for name in bench.NAMES)


@pytest.fixture
def small(monkeypatch):
    """The benchmarks with a small network and little work; both sides run once, untimed."""
    config = e3x.ModelConfig(features=4, max_degree=1, iterations=2)
    monkeypatch.setattr(inputs, "CONFIG", config)
    whole = functools.cache(inputs.checkpoint.__wrapped__)
    monkeypatch.setattr(inputs, "checkpoint", whole)
    for name, value in {"REPLICAS": 2, "STEPS": 2, "ASE_STEPS": 2}.items():
        monkeypatch.setattr(dynamics, name, value)
    for name, value in {"FRAMES": 60, "BATCH": 5, "LARGE_CALLS": 1}.items():
        monkeypatch.setattr(network, name, value)

    def once(ours, peer, **_):
        ours()
        peer()
        return bench.Result(1.0, 1.0, 1.0, "s")

    for module in (dynamics, network):
        monkeypatch.setattr(module, "race", once)
        monkeypatch.setattr(module, "compare_times", once)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    "forces_single forces_large train_step solve_quadratic nve_ase nve_overhead nve_quadratic "
    "matrix_product".split(),
)
def test_a_benchmark_runs_both_of_its_sides(name, small):
    """Those left out run the same code, need jax-md, or time whole processes."""
    assert bench.benchmark(name)().ratio > 0


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
    x = inputs.positions(40)
    assert np.abs(x - inputs.MOLECULE.positions).max() < 0.3
    assert np.ptp(x, axis=0).min() > 0.05


def test_a_cluster_repeats_the_molecule_and_keeps_its_copies_apart():
    x = inputs.cluster(2, 22)
    assert x.shape == (2, 198, 3)
    np.testing.assert_array_equal(x[:, :9], inputs.positions(2))
    nearest = min(
        np.linalg.norm(x[0, 9 * i : 9 * i + 9, None] - x[0, 9 * j : 9 * j + 9], axis=-1).min()
        for i in range(22)
        for j in range(i)
    )
    assert nearest > 1.5


def test_the_exponent_is_fitted_where_the_time_grows():
    counts = [1, 2, 4, 8, 16, 32]
    found = scaling.Growth.fitted("atoms", counts, [1.0, 1.0, 1.0, 4.0, 16.0, 64.0])
    assert found.exponent == pytest.approx(2.0) and found.stderr == pytest.approx(0.0, abs=1e-9)
    noisy = scaling.Growth.fitted("atoms", counts, [3.0, 1.0, 1.0, 4.4, 15.0, 66.0])
    assert noisy.exponent == pytest.approx(2.0, abs=0.1) and 0 < noisy.stderr < 0.2
    flat = scaling.Growth.fitted("replicas", counts, [1.0] * 6)
    assert flat.exponent is None and flat.stderr is None


@pytest.mark.slow
@chromium.needed
def test_scaling_measures_each_point_and_keeps_what_it_found(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(
        scaling, "seconds_per_step", lambda r, m, d: 1e-3 * r * (9 * m) ** 2 / (d or 1)
    )
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    out, chart = tmp_path / "scaling.json", tmp_path / "scaling.svg"
    assert main(["bench", "--scaling", "--json", "--out", str(out), "--chart", str(chart)]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["replicas"]["exponent"] == pytest.approx(1.0)
    assert printed["atoms"]["exponent"] == pytest.approx(2.0)
    assert printed["devices"]["exponent"] == pytest.approx(-1.0)
    assert printed["atoms"]["counts"][-1] == 198 and printed["replicas"]["counts"][-1] == 1024
    kept = json.loads(out.read_text())
    assert kept["results"] == printed and kept["machine"]["date"] and kept["machine"]["device"]
    picture = chart.read_text()
    points = [part.count('class="point"') for part in picture.split('<svg x="')[1:]]
    assert points == [len(scaling.REPLICA_NUMBERS), len(scaling.MOLECULES), 3]
    assert "n^2.00" in picture and "n^1.00" in picture and "n^-1.00" in picture


@pytest.mark.slow
@chromium.needed
def test_ratios_are_drawn_beside_what_is_wanted(monkeypatch, tmp_path, capfd):
    found = {
        "nve_ase": bench.Result(20.0, 1.0, 20.0, "steps/s", 2.0),
        "nve_overhead": bench.Result(0.9, 1.0, 0.9, "s", 0.1),
    }
    monkeypatch.setattr(bench, "benchmark", lambda name: lambda: found[name])
    chart = tmp_path / "ratios.svg"
    assert main(["bench", *found, "--json", "--chart", str(chart)]) == 0
    assert json.loads(capfd.readouterr().out)["nve_ase"]["ratio"] == 20.0
    picture = chart.read_text()
    assert "20 (20 against 1 steps/s)" in picture and "0.9 (0.9 against 1 s)" in picture
    bars = re.findall(r'<g class="point"><path d="M([\d.]+),[\d.]+V[\d.]+H([\d.]+)V', picture)
    ahead, behind = ([float(end) for end in bar] for bar in bars)
    assert max(behind) == min(ahead), "what is slower than its peer goes to the left of 1"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--scaling nve_ase", "takes no names"),
        ("--chart x.png", "must end in .svg"),
        ("--out x.txt", "must end in .json"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, expected, capfd):
    assert main(["bench", *words.split()]) == 2
    assert expected in capfd.readouterr().err


def test_a_peer_that_is_not_installed_is_left_out_unless_it_was_asked_for(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "jax_md", None)  # which makes an import of it fail
    with pytest.raises(InputError, match=r"requirements-bench\.txt"):
        dynamics.nve_jax_md()
    result = bench.Result(3.0, 2.0, 1.5, "s")
    known = {"nve_jax_md": dynamics.nve_jax_md}
    monkeypatch.setattr(bench, "benchmark", lambda name: known.get(name, lambda: result))
    assert main(["bench", "--json"]) == 0
    answer = capfd.readouterr()
    assert set(json.loads(answer.out)) == set(bench.NAMES) - {"nve_jax_md"}
    assert "nve_jax_md is left out: jax-md is not installed" in answer.err
    assert main(["bench", "nve_jax_md"]) == 2
