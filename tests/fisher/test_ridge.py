"""Evidence, cross-validation and held-out choices against their definitions; other points."""

import numpy as np
import pytest
from scipy import stats

from fisherdash import fisher
from fisherdash.errors import InputError
from fisherdash.potentials.evaluate import evaluate
from tests.randomised import planted_dataset, random_checkpoint

COMPONENTS = 6
RNG = np.random.default_rng


def linear_data(
    frames: int, weights: np.ndarray, noise: float, seed: int, same_in_frame: bool = False
) -> tuple[fisher.Moments, np.ndarray, np.ndarray]:
    """Moments of y = Gθ + noise with G and y themselves, shapes (rows, D) and (rows,)."""
    rng = RNG(seed)
    g = rng.normal(size=(frames, COMPONENTS, len(weights)))
    error = rng.normal(size=(frames, 1 if same_in_frame else COMPONENTS)) * noise
    y = g @ weights + error
    d = len(weights)
    moments = fisher.Moments(
        frames=frames,
        components=COMPONENTS,
        gram=np.einsum("mxd,mxe->de", g, g),
        gradient=np.einsum("mxd,mx->d", g, y),
        laplacian=None,
        force_squared=float(np.sum(y**2)),
        energy=np.eye(d + 1),
        energy_sum=np.zeros(d + 1),
        energy_origin=0.0,
    )
    return moments, g.reshape(-1, d), y.reshape(-1)


def test_evidence_is_the_marginal_likelihood() -> None:
    start = np.array([0.3, -0.1, 0.2])
    moments, g, y = linear_data(4, np.array([1.0, 2.0, -1.0]), 0.5, 0)
    problem = fisher.equations(moments)
    ridges = np.array([1e-3, 1e-1, 3.0])

    def direct(ridge: float) -> float:
        # The rows are normal around Gθ₀ with the covariance σ² C; σ² at its best is q/n.
        alpha = moments.frames * ridge * problem.spectrum.values[0]
        c = np.eye(len(y)) + g @ g.T / alpha
        r = y - g @ start
        sigma2 = r @ np.linalg.solve(c, r) / len(y)
        return stats.multivariate_normal.logpdf(r, cov=sigma2 * c)

    ours = fisher.log_evidence(ridges, problem, start)
    exact = np.array([direct(ridge) for ridge in ridges])
    np.testing.assert_allclose(np.diff(ours), np.diff(exact), rtol=1e-8)
    assert np.ptp(exact) > 1.0


def test_gcv_is_its_definition() -> None:
    start = np.array([0.3, -0.1, 0.2])
    moments, g, y = linear_data(4, np.array([1.0, 2.0, -1.0]), 0.5, 1)
    problem = fisher.equations(moments)
    ridges = np.array([1e-3, 0.3])
    for ridge, ours in zip(ridges, fisher.gcv(ridges, problem, start), strict=True):
        alpha = moments.frames * ridge * problem.spectrum.values[0]
        hat = g @ np.linalg.solve(g.T @ g + alpha * np.eye(3), g.T)
        r = y - g @ start
        direct = np.sum((r - hat @ r) ** 2) / (1 - np.trace(hat) / len(y)) ** 2 / moments.frames
        assert ours == pytest.approx(direct, rel=1e-10)


def test_evidence_finds_the_strength_of_the_prior() -> None:
    # Weights drawn around zero with a known variance: the best λ is σ²/(M s²), per frame.
    spread, noise, frames = 0.3, 2.0, 20
    weights = spread * RNG(2).normal(size=40)
    moments, _, _ = linear_data(frames, weights, noise, 3)
    problem = fisher.equations(moments)
    grid = np.logspace(-4, 2, 61)
    values = fisher.log_evidence(grid, problem, np.zeros(40))
    best = grid[int(np.argmax(values))] * problem.spectrum.values[0] * frames
    assert best == pytest.approx((noise / spread) ** 2, rel=0.5)
    assert fisher.log_evidence(np.zeros(1), problem, np.zeros(40)) == -np.inf


def test_held_out_choice_says_how_sure_it_is() -> None:
    weights = np.array([1.0, 2.0, -1.0])
    fit, _, _ = linear_data(6, weights, 1.0, 4)
    groups = [linear_data(20, weights, 1.0, seed)[0] for seed in range(10, 20)]
    held_out = sum(groups[1:], groups[0])
    problem, start = fisher.equations(fit), np.zeros(3)
    unseen = [fisher.equations(group) for group in groups]
    path = fisher.ridge_path(problem, fit, held_out, start)
    found = fisher.choose("auto", path, problem, unseen, start, seed=0)
    assert found.low is not None and found.high is not None
    assert found.low <= found.ridge <= found.high
    # The largest λ that is within one standard error, paired over groups, of the lowest loss:
    # by definition, group by group. (The lowest itself was the rule once; see docs/method.md.)
    ridges = [point.ridge for point in path]
    each = np.array(
        [
            [group.loss(fisher.head_at(ridge, problem, start)) for ridge in ridges]
            for group in unseen
        ]
    )
    lowest = int(np.argmin(each.mean(axis=0)))
    more = each - each[:, [lowest]]
    allowed = more.mean(axis=0) <= more.std(axis=0, ddof=1) / np.sqrt(len(unseen))
    assert found.ridge == max(ridge for ridge, good in zip(ridges, allowed, strict=True) if good)


def test_a_flat_path_keeps_the_default_head() -> None:
    # Nothing to be learned: the default is the truth, and noise alone tells points apart.
    weights = np.array([1.0, 2.0, -1.0])
    fit, _, _ = linear_data(6, weights, 1.0, 4)
    groups = [linear_data(20, weights, 1.0, seed)[0] for seed in range(10, 20)]
    held_out = sum(groups[1:], groups[0])
    problem, unseen = fisher.equations(fit), [fisher.equations(group) for group in groups]
    path = fisher.ridge_path(problem, fit, held_out, weights)
    assert fisher.choose("auto", path, problem, unseen, weights, seed=0).ridge == path[-1].ridge


def test_rules_that_need_forces_refuse_the_fit_without_them() -> None:
    moments, _, _ = linear_data(6, np.array([1.0, 2.0]), 0.1, 5)
    blind = fisher.equations(
        fisher.Moments(**{**vars(moments), "laplacian": np.ones(2)}), temperature=300.0
    )
    for rule in ("evidence", "gcv"):
        with pytest.raises(InputError, match=f"'{rule}' compares with forces"):
            fisher.choose(rule, (), blind, (), np.zeros(2), 0)


@pytest.mark.slow
def test_energies_enter_with_their_weight() -> None:
    rng = RNG(6)
    truth = random_checkpoint()
    data = planted_dataset(truth, 40)
    noisy = type(data)(
        data.positions,
        data.energies + rng.normal(scale=0.3, size=len(data)),
        data.forces + rng.normal(scale=0.3, size=data.forces.shape),
        data.atomic_numbers,
    )
    (moments,) = fisher.accumulate(truth, noisy, precision="float64")
    problem = fisher.equations(moments, energy_weight=0.7)

    def loss(head: np.ndarray) -> float:
        """3N/2 · (mean squared force component + w · variance of the energy error)."""
        error = moments.energy_rmse(head, moments.constant(head))
        return 0.5 * moments.components * (moments.force_rmse(head) ** 2 + 0.7 * error**2)

    one, two = rng.normal(size=(2, len(truth.head)))
    assert problem.square is not None
    assert problem.loss(one) + problem.square / 2 == pytest.approx(loss(one), rel=1e-8)
    assert problem.loss(one) - problem.loss(two) == pytest.approx(loss(one) - loss(two), rel=1e-8)
    heads = [fisher.head_at(0.0, fisher.equations(moments, None, w), one) for w in (0.0, 100.0)]
    errors = [moments.energy_rmse(head, moments.constant(head)) for head in heads]
    assert errors[1] < errors[0]
    assert moments.force_rmse(heads[1]) > moments.force_rmse(heads[0])


@pytest.mark.slow
def test_a_head_for_each_element_is_recovered_where_a_shared_one_cannot_be() -> None:
    shared = random_checkpoint()
    split = shared.by_element([1, 6, 8])
    truth = split.with_head(RNG(7).normal(size=split.head.shape), split.element_bias, "truth", {})
    data = planted_dataset(truth, 80)
    options = {"ridge": 0.0, "precision": "float64", "test_boltzmann": False}
    plain = fisher.solve(shared, data, fisher.Options(**options, head="shared"))
    resolved = fisher.solve(shared, data, fisher.Options(**options, head="by element"))
    assert plain.force_rmse["fisher"] > 0.05
    assert resolved.force_rmse["fisher"] < 1e-7
    np.testing.assert_allclose(resolved.checkpoint.head, truth.head, rtol=1e-6, atol=1e-7)
    assert resolved.force_rmse["default"] == pytest.approx(plain.force_rmse["default"], rel=1e-9)


def test_any_other_point_follows_from_the_same_pass() -> None:
    truth = random_checkpoint()
    start = truth.with_head(RNG(8).normal(size=truth.head.shape), truth.element_bias, "start", {})
    data = planted_dataset(truth, 60)
    base = {"head": "shared", "precision": "float64", "test_boltzmann": False}
    refit = fisher.solve(start, data, fisher.Options(**base))
    other = refit.at(1e-2)
    direct = fisher.solve(start, data, fisher.Options(**base, ridge=1e-2))
    np.testing.assert_allclose(other.checkpoint.head, direct.checkpoint.head, rtol=1e-12)
    assert other.choice.rule == "given" and other.ridge == 1e-2
    report = refit.prepared.division.report
    assert other.force_rmse["fisher"] == pytest.approx(
        evaluate(other.checkpoint, report).force_rmse, rel=1e-9
    )
    assert other.checkpoint.provenance["parent_fingerprint"] == start.fingerprint
