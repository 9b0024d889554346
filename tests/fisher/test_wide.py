"""Heads by element and quadratic, and the ridge made of noise: theorems on a small smooth body."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fisherdash import fisher, landscape
from fisherdash.dataset import Dataset
from fisherdash.fisher import moments as sums
from fisherdash.fisher.solve import principal_directions, widened
from fisherdash.md import simulate
from fisherdash.potentials import checkpoint
from fisherdash.potentials.calculator import FisherDashCalculator
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm, Kind
from fisherdash.settings import (
    USUAL_NOISE_RIDGE,
    LandscapeSettings,
    MDSettings,
    Metric,
    Options,
    most_directions,
)
from tests import networks
from tests.fisher.test_ridge import linear_data
from tests.md import force_fields as ff
from tests.potentials.toy import Toy
from tests.randomised import displaced_ethanol, planted_dataset, random_checkpoint

FORMS: tuple[Kind, ...] = ("shared", "by element", "quadratic")
EXACT: dict[str, Any] = {"precision": "float64", "test_boltzmann": False}


@functools.cache
def start() -> Checkpoint:
    """A shared head on a smooth body with five features."""
    rng, body = np.random.default_rng(0), Toy(5).init(0)
    return Checkpoint(Toy(5), body, rng.normal(size=5), np.zeros(119), (1, 6, 8), "toy")


@functools.cache
def planted(kind: Kind = "quadratic", frames: int = 100) -> tuple[Checkpoint, Dataset]:
    """The same body under a random head of some form, and data made with it."""
    wide = widened(start(), planted_dataset(start(), 2), Options(head=kind))
    head = np.random.default_rng(1).normal(size=wide.head.shape)
    truth = wide.with_head(head, wide.element_bias, "truth", {})
    positions = displaced_ethanol(frames, seed=3, amplitude=0.1)
    blank = Dataset(positions, np.zeros(frames), np.zeros_like(positions), wide_numbers())
    energies, forces = predict(truth, blank)
    return truth, dataclasses.replace(blank, energies=energies, forces=forces, temperature=300.0)


def wide_numbers() -> np.ndarray:
    return planted_dataset(start(), 2).atomic_numbers


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["identity", "noise"])
@pytest.mark.parametrize("kind", FORMS)
def test_a_planted_head_of_every_form_is_recovered(kind: Kind, metric: Metric) -> None:
    truth, data = planted(kind)
    options = Options(head=kind, metric=metric, ridge=0.0, noise_frames=64, **EXACT)
    refit = fisher.solve(start(), data, options)
    assert refit.checkpoint.form == truth.form
    scale = np.linalg.norm(truth.head)
    assert np.linalg.norm(refit.prepared.start.head - truth.head) > 0.5 * scale
    assert np.linalg.norm(refit.checkpoint.head - truth.head) < 1e-8 * scale
    assert refit.force_rmse["fisher"] < 1e-8 < 1e-2 < refit.force_rmse["default"]
    assert refit.energy_rmse["fisher"] < 1e-8


def noisy(data: Dataset, scale: float = 0.5) -> Dataset:
    forces = data.forces + scale * np.random.default_rng(2).normal(size=data.forces.shape)
    return dataclasses.replace(data, forces=forces)


@functools.cache
def prepared() -> "fisher.Prepared":
    _, data = planted()
    options = Options(head="quadratic", metric="noise", noise_frames=64, **EXACT)
    return fisher.prepare(start(), noisy(data), options)


def test_a_noise_ridge_says_how_far_forces_move_where_there_are_no_data() -> None:
    ready = prepared()
    refit = ready.refit(fisher.Choice(1e-2, "given"))
    x = sums.displaced(ready.division.fit.positions, ready.options, ready.options.noise_frames)
    frames = Dataset(x, np.zeros(len(x)), np.zeros_like(x), wide_numbers())
    before, after = (predict(one, frames)[1] for one in (ready.start, refit.checkpoint))
    moved = np.sqrt(np.mean((after - before) ** 2))
    assert moved > 1e-3
    assert f"forces on displaced frames differ by {moved:.3g} eV/Å (RMS)" in refit.verdict
    assert "head norm" not in refit.verdict


def test_weighted_noise_counts_displaced_frames_by_their_forces() -> None:
    ready = prepared()
    options = dataclasses.replace(ready.options, metric="weighted noise")
    plain, weighted = ready.metric, fisher.prepare(start(), ready.dataset, options).metric
    assert plain is not None and weighted is not None and weighted.frames == plain.frames == 64
    x = sums.displaced(ready.division.fit.positions, options, 64)
    frames = Dataset(x, np.zeros(64), np.zeros_like(x), wide_numbers())
    there, usual = (
        predict(start(), one)[1] for one in (frames, ready.division.fit.subset(slice(64)))
    )
    share = (1 + np.mean(there**2, axis=(1, 2)) / (4 * np.mean(usual**2))) ** -2
    assert share.max() > 2 * share.min()
    one_by_one = [
        sums.Metric.accumulate(ready.start, wide_numbers(), x[[i]], precision="float64")
        for i in range(64)
    ]
    expected = np.average([one.matrix for one in one_by_one], axis=0, weights=share)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(weighted.matrix, expected, rtol=1e-5, atol=1e-6 * scale)
    assert np.abs(weighted.matrix - plain.matrix).max() > 1e-2 * scale


def test_the_noise_ridge_leads_from_the_plain_solution_to_the_default_head() -> None:
    ready = prepared()
    problem, default, metric = ready.problem, ready.start.head, ready.metric
    assert metric is not None and problem.spectrum.rank == len(default) == 60
    a, b, t = problem.matrix, problem.target, metric.matrix
    for ridge in (1e-6, 1e-2, 1.0, 1e3):
        direct = np.linalg.solve(a + ridge * t, b + ridge * t @ default)
        head = fisher.head_at(ridge, problem, default)
        np.testing.assert_allclose(head, direct, rtol=1e-6, atol=1e-8 * np.abs(direct).max())
    plain = np.linalg.solve(a, b)
    change = np.linalg.norm(plain - default)
    assert np.linalg.norm(fisher.head_at(0.0, problem, default) - plain) < 1e-6 * change
    assert np.linalg.norm(fisher.head_at(1e12, problem, default) - default) < 1e-6 * change
    assert np.array_equal(fisher.head_at(np.inf, problem, default), default)
    moved = [point.head_change for point in ready.path]
    assert moved[0] > 1 and moved[-1] < 0.1 * moved[0]
    dof = [point.effective_dof for point in ready.path]
    assert dof[0] == pytest.approx(60) and np.all(np.diff(dof) < 0)


def test_the_noise_ridge_holds_the_forces_beside_the_data() -> None:
    ready = prepared()
    far = sums.displaced(
        ready.division.fit.positions, dataclasses.replace(ready.options, seed=5), 64
    )
    elsewhere = fisher.Metric.accumulate(ready.start, wide_numbers(), far, precision="float64")
    changes = [
        fisher.head_at(ridge, ready.problem, ready.start.head) - ready.start.head
        for ridge in (0.0, 1.0, 100.0)
    ]
    moved = [np.sqrt(change @ elsewhere.matrix @ change) for change in changes]
    assert moved[0] > 2 * moved[1] > 4 * moved[2]


def test_directions_that_no_displaced_frame_feels_keep_their_value() -> None:
    rng = np.random.default_rng(0)
    g, n = rng.normal(size=(50, 4)), rng.normal(size=(30, 4))
    n[:, 3] = 0.0
    problem = fisher.Equations(g.T @ g, rng.normal(size=4), 100.0, 50, fisher.Metric(n.T @ n, 30))
    assert fisher.head_at(0.1, problem, np.full(4, 7.0))[3] == 7.0
    assert problem.spectrum.condition_number == np.inf


def test_evidence_and_gcv_know_the_metric() -> None:
    # θ = Ly with LᵀBL = 1 is the same problem with the identity, λ over its largest eigenvalue.
    default, rng = np.array([0.3, -0.1, 0.2]), np.random.default_rng(4)
    found, _, _ = linear_data(6, np.array([1.0, 2.0, -1.0]), 0.5, 0)
    root = rng.normal(size=(3, 3))
    metric = fisher.Metric(root @ root.T, 1)
    ours = fisher.equations(found, metric=metric)
    change = np.linalg.inv(root).T
    other = fisher.Equations(
        change.T @ ours.matrix @ change, change.T @ ours.target, ours.square, ours.rows
    )
    there = np.linalg.solve(change, default)
    for ridge in (0.3, 2.0):
        same = ridge / other.spectrum.values[0]
        for score in (fisher.log_evidence, fisher.gcv):
            found, expected = (
                score(np.array([at]), *rest)[0]
                for at, *rest in ((ridge, ours, default), (same, other, there))
            )
            assert found == pytest.approx(expected, rel=1e-9)
        descent = fisher.descend(ours, default, ridge)
        assert descent.converged
        np.testing.assert_allclose(descent.head, fisher.head_at(ridge, ours, default), rtol=1e-8)
        groups = [linear_data(6, np.array([1.0, 2.0, -1.0]), 0.5, seed)[0] for seed in range(6)]
        total = sum(groups[1:], groups[0])
        whole = fisher.equations(total, metric=metric)
        halves = [fisher.equations(half, metric=metric) for half in fisher.halved(groups)]
        bars = fisher.posterior(total, whole, halves, ridge, default)
        inverse = np.linalg.inv(whole.matrix + ridge * metric.matrix)
        ratio = bars.covariance / inverse
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-9)


def test_the_metric_of_displaced_frames_is_unbiased_in_their_number() -> None:
    _, data = planted()
    wide = widened(start(), data, Options(head="quadratic"))
    options = Options(noise_frames=1000)
    x = sums.displaced(data.positions, options, options.noise_frames)
    width = (x - data.positions[:, None].mean(axis=(0, 1))).std()
    assert width == pytest.approx(np.hypot(0.1, np.sqrt((0.3**3 - 0.05**3) / 0.75)), rel=0.05)
    directions = np.random.default_rng(6).normal(size=(60, 40))

    def squares(positions: np.ndarray) -> np.ndarray:
        """|Gw|² of each frame and direction, shape (frames, 40)."""
        blocks = sums.derivatives_of(wide, data.atomic_numbers, positions, precision="float64")
        found = [np.sum((one.jacobian @ directions) ** 2, axis=1) for _, one in blocks]
        return np.concatenate(found)

    each = squares(x)
    first, second = each[:300], each[300:]
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    z = (first.mean(axis=0) - second.mean(axis=0)) / error
    assert np.all(np.abs(z) < 4)
    metric = fisher.Metric.accumulate(wide, data.atomic_numbers, x, precision="float64")
    assert metric.frames == 1000
    whole = np.einsum("dk,de,ek->k", directions, metric.matrix, directions)
    np.testing.assert_allclose(whole, each.mean(axis=0), rtol=1e-10)


def test_a_quadratic_head_does_not_see_turns_moves_or_names_of_atoms() -> None:
    truth, data = planted()
    energies, forces = predict(truth, data.subset(np.arange(4)))
    turn = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    order = np.array([1, 0, 2, 8, 7, 6, 5, 4, 3])  # within elements: C C O and six H
    moved = (data.positions[:4] @ turn.T + 3.0)[:, order]
    there = Dataset(moved, energies, forces, data.atomic_numbers)
    energies_there, forces_there = predict(truth, there)
    np.testing.assert_allclose(energies_there, energies, rtol=1e-12)
    np.testing.assert_allclose(forces_there, (forces @ turn.T)[:, order], atol=1e-10)
    # The re-fit of turned frames is the same head.
    turned = dataclasses.replace(
        data, positions=data.positions @ turn.T, forces=data.forces @ turn.T
    )
    options = Options(head="quadratic", metric="identity", ridge=1e-3, **EXACT)
    one, other = (fisher.solve(start(), frames, options) for frames in (data, turned))
    np.testing.assert_allclose(other.checkpoint.head, one.checkpoint.head, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_few_matrices_say_the_same_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = planted()
    options = Options(head="quadratic", metric="noise", noise_frames=64, precision="float64")
    plenty = fisher.solve(start(), noisy(data), options)
    size = len(plenty.checkpoint.head)
    monkeypatch.setattr(sums, "MATRIX_BYTES", 5 * 2 * 8 * size**2)
    little = fisher.solve(start(), noisy(data), options)
    assert len(plenty.prepared.groups) == 25 and len(little.prepared.groups) == 4
    assert sum(len(group.parts) for group in little.prepared.groups) == 25
    np.testing.assert_allclose(little.checkpoint.head, plenty.checkpoint.head, rtol=1e-6)
    assert little.posterior is not None and plenty.posterior is not None
    assert little.posterior.half_difference == pytest.approx(
        plenty.posterior.half_difference, rel=1e-5
    )
    assert little.boltzmann is not None and plenty.boltzmann is not None
    assert little.boltzmann.temperature == pytest.approx(plenty.boltzmann.temperature, rel=1e-9)
    # Other groups are drawn by the same numbers: the error is one of another bootstrap.
    assert little.boltzmann.stderr == pytest.approx(plenty.boltzmann.stderr, rel=0.15)
    assert len(plenty.boltzmann.per_descriptor) == 15  # of the features, not of their products


def test_the_reports_own_head_comes_with_a_wider_one() -> None:
    _, data = planted()
    data = noisy(data)
    for kind in FORMS[1:]:
        wide = fisher.solve(start(), data, Options(head=kind, metric="identity", **EXACT))
        own = fisher.solve(start(), data, Options(head="shared", **EXACT))
        beside = wide.report_head
        assert beside is not None and own.report_head is None
        assert beside.ridge == own.ridge and beside.checkpoint.form == start().form
        np.testing.assert_allclose(beside.checkpoint.head, own.checkpoint.head, rtol=1e-8)
        assert beside.force_rmse["fisher"] == pytest.approx(own.force_rmse["fisher"], rel=1e-9)
        assert wide.force_rmse["default"] == pytest.approx(own.force_rmse["default"], rel=1e-9)
        keys = fisher.summary(wide)
        assert set(keys["force_rmse_eV_per_A"]) == {"default", "report", "fisher"}
        assert (keys["head"], keys["metric"]) == (kind, "identity")
        assert set(fisher.summary(own)["head_norm"]) == {"default", "fisher"}


def test_without_options_the_head_is_quadratic_under_a_ridge_of_noise() -> None:
    _, data = planted()
    refit = fisher.solve(start(), noisy(data), Options(noise_frames=64, **EXACT))
    assert refit.checkpoint.form == HeadForm("quadratic", (1, 6, 8))
    assert (refit.prepared.options.ridge_metric, refit.choice.rule) == ("noise", "usual")
    assert refit.ridge == USUAL_NOISE_RIDGE
    assert refit.force_rmse["fisher"] < refit.force_rmse["default"]
    assert Options(head="shared").ridge_metric == "identity"
    assert refit.checkpoint.provenance["parent_fingerprint"] == start().fingerprint
    assert refit.prepared.start.fingerprint != start().fingerprint


@pytest.mark.slow
def test_stable_dynamics_try_no_less_than_the_usual_ridge_of_noise() -> None:
    truth, data = planted()
    mild = truth.with_head(0.1 * truth.head, truth.element_bias, "mild", {})
    options = Options(head="quadratic", ridge="stable", noise_frames=64, **EXACT)
    short = dataclasses.replace(options.stability, replicas=2, picoseconds=0.005, points=3)
    refit = fisher.solve(mild, data, dataclasses.replace(options, stability=short))
    assert refit.stability is not None
    tried = [one.ridge for one in refit.stability.tried[1:]]
    assert min(tried) == USUAL_NOISE_RIDGE and len(tried) == 3
    lowest = min(refit.path, key=lambda point: point.divergence)
    assert lowest.ridge < USUAL_NOISE_RIDGE, "the held-out frames alone ask for less"


def test_a_head_that_cannot_be_improved_is_kept() -> None:
    truth, data = planted("shared", frames=60)
    error = 0.1 * np.random.default_rng(9).normal(size=data.forces.shape)
    data = dataclasses.replace(data, forces=data.forces + error)  # no head explains it
    refit = fisher.solve(truth, data, Options(noise_frames=64, **EXACT))
    assert refit.choice.rule == "kept" and refit.ridge == np.inf
    np.testing.assert_array_equal(refit.checkpoint.head, refit.prepared.start.head)
    assert refit.force_rmse["fisher"] == pytest.approx(refit.force_rmse["default"], rel=1e-12)
    by_hand = refit.at(USUAL_NOISE_RIDGE)
    assert by_hand.force_rmse["fisher"] > refit.force_rmse["fisher"], "it would have done harm"
    harm = f"{100 * by_hand.force_change.value:+.1f} %"
    assert "The default head is kept" in refit.verdict and harm in refit.verdict


@pytest.mark.slow
def test_a_wider_head_is_not_narrowed_and_keeps_its_directions() -> None:
    truth, data = planted()
    refit = fisher.solve(truth, data, Options(head="shared", ridge=1e-4, **EXACT))
    assert refit.checkpoint.form == truth.form and refit.report_head is None
    small = fisher.solve(start(), data, Options(head="quadratic", reduce=2, ridge=1e-4, **EXACT))
    assert small.checkpoint.form == HeadForm("quadratic", (1, 6, 8), 2)
    again = fisher.solve(small.checkpoint, data, Options(head="quadratic", ridge=1e-4, **EXACT))
    assert again.checkpoint.head_basis is not None and small.checkpoint.head_basis is not None
    assert np.array_equal(again.checkpoint.head_basis, small.checkpoint.head_basis)


def test_features_are_reduced_where_there_are_many() -> None:
    assert most_directions(3, 16) == 16 and most_directions(3, 32) == 32
    assert HeadForm("quadratic", (1, 6, 8), most_directions(3, 64)).size(64) <= 2000
    assert HeadForm("quadratic", (1, 6, 8), most_directions(3, 64) + 1).size(64) > 2000
    assert most_directions(4, 1000) == 1
    truth, data = planted()
    directions = principal_directions(truth, data, 0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-12)
    # Against all directions in space, frame by frame.
    wide, numbers = widened(start(), data, Options(head="by element")), jnp.asarray(wide_numbers())

    def features(x: jax.Array) -> jax.Array:
        return wide.potential.features(wide.body, numbers, x[None]).features[0]

    exact, slope = np.zeros((5, 5)), jax.jit(jax.jacfwd(features))
    for x in data.positions[:20]:
        slopes = np.asarray(slope(x)).swapaxes(1, -1).reshape(-1, 5)
        exact += slopes.T @ slopes
    kept = np.diag(directions.T @ exact @ directions) / np.trace(exact)
    best = np.sort(np.linalg.eigvalsh(exact))[::-1] / np.trace(exact)
    np.testing.assert_allclose(np.cumsum(kept), np.cumsum(best), atol=0.05)


def test_the_usual_ridge_of_the_noise_metric() -> None:
    _, data = planted()
    refit = prepared().refit(prepared().choose())
    assert refit.ridge == 0.01 and refit.choice.rule == "usual"
    wanted = Options(head="quadratic", metric="noise", noise_frames=64, ridge="gcv", **EXACT)
    assert fisher.solve(start(), noisy(data), wanted).choice.rule == "gcv"


@pytest.mark.slow
def test_the_fit_without_forces_is_made_for_every_form() -> None:
    _, data = planted()
    for kind in FORMS:
        options = Options(head=kind, metric="noise", method="laplacian", noise_frames=32)
        refit = fisher.solve(start(), data, options)
        assert np.isfinite(refit.checkpoint.head).all() and refit.kl is not None


@pytest.mark.slow
def test_a_quadratic_head_conserves_energy_to_second_order() -> None:
    data, default = networks.water(), networks.checkpoint(0)
    options = Options(head="quadratic", metric="noise", noise_frames=64, test_boltzmann=False)
    refit = fisher.solve(default, data, options)
    assert refit.checkpoint.form.kind == "quadratic"
    errors, timesteps = [], [0.5, 0.25, 0.125]
    for timestep in timesteps:
        steps = round(20.0 / timestep)
        settings = MDSettings(
            replicas=2,
            steps=steps,
            timestep=timestep,
            temperature=300.0,
            record_every=steps // 40,
            precision="float64",
        )
        run = list(simulate({"wide": refit.checkpoint}, data, settings))
        total = ff.joined(run, "potential")[0] + ff.joined(run, "kinetic")[0]
        errors.append(np.abs(total - total[:, :1]).max())
    slope = np.polyfit(np.log(timesteps), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


@pytest.mark.slow
def test_all_heads_run_in_one_batch_and_have_error_bars() -> None:
    data, default = networks.water(), networks.checkpoint(0)
    heads = {"default": default}
    for kind in FORMS:
        options = Options(
            head=kind, metric="noise", ridge=0.01, noise_frames=64, test_boltzmann=False
        )
        heads[kind] = fisher.solve(default, data, options).checkpoint
    settings = MDSettings(replicas=2, steps=20, timestep=0.25, temperature=300.0)
    run = list(simulate(heads, data, settings))
    potential = ff.joined(run, "potential")
    assert potential.shape[0] == 4 and np.isfinite(potential).all()
    for kind in FORMS:
        bars = fisher.force_stderr(heads[kind], data.atomic_numbers, data.positions[:3])
        assert bars.shape == (3, 3, 3) and np.isfinite(bars).all() and bars.max() > 0


@pytest.mark.slow
def test_short_dynamics_choose_among_quadratic_heads() -> None:
    check = fisher.StabilitySettings(replicas=2, picoseconds=0.01, temperature=300.0, points=2)
    options = Options(
        head="quadratic",
        metric="noise",
        noise_frames=64,
        ridge="stable",
        test_boltzmann=False,
        stability=check,
    )
    refit = fisher.solve(networks.checkpoint(0), networks.water(), options)
    assert refit.stability is not None and refit.stability.ridge == refit.ridge
    assert len(refit.stability.tried) == 3
    assert refit.report_head is not None and refit.report_head.choice.rule == "auto"


def test_descent_arrives_at_the_quadratic_head() -> None:
    _, data = planted()
    options = Options(head="quadratic", metric="noise", noise_frames=64, ridge=0.1, **EXACT)
    closed = fisher.solve(start(), noisy(data), options)
    slow = fisher.solve(start(), noisy(data), dataclasses.replace(options, method="gradient"))
    assert slow.descent is not None and slow.descent.converged
    np.testing.assert_allclose(slow.checkpoint.head, closed.checkpoint.head, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_calculator_landscape_and_file_take_a_quadratic_head(tmp_path: Path) -> None:
    data, default = networks.water(), networks.checkpoint(0)
    options = Options(
        head="quadratic", metric="noise", noise_frames=64, reduce=6, test_boltzmann=False
    )
    refit = fisher.solve(default, data, options).checkpoint
    checkpoint.save(refit, tmp_path / "wide.safetensors")
    again = checkpoint.load(tmp_path / "wide.safetensors")
    assert again.fingerprint == refit.fingerprint and again.form.reduce == 6
    atoms = ase.Atoms(data.atomic_numbers, data.positions[0])
    atoms.calc = FisherDashCalculator(again, "float64")
    exact = dataclasses.replace(refit, body=jax.tree.map(np.float64, refit.body))
    energies, forces = predict(exact, data.subset(np.arange(1)))
    assert atoms.get_potential_energy() == pytest.approx(energies[0], abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), forces[0], atol=1e-9)
    # Large weights multiply the rounding of features in single precision; it stays small.
    _, rounded = predict(refit, data.subset(np.arange(1)))
    assert np.abs(rounded - forces).max() < 5e-3
    found = landscape.sharpness(again, data.subset(np.arange(8)), LandscapeSettings(radius=1e-3))
    assert np.isfinite(found.value)


@pytest.mark.slow
def test_a_body_without_forces_keeps_its_head() -> None:
    _, data = planted(frames=20)
    flat = random_checkpoint()
    body = jax.tree.map(np.zeros_like, flat.body)
    refit = fisher.solve(
        dataclasses.replace(flat, body=body), data, Options(noise_frames=16, **EXACT)
    )
    assert refit.effective_rank == 0 and refit.relative_ridge > 0
    np.testing.assert_array_equal(refit.checkpoint.head, refit.prepared.start.head)
    assert refit.force_change.value == 0
