"""The closed form: a planted head comes back, J is stationary there, the printed sign is wrong."""

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.dataset import Dataset
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import evaluate
from fisherdash.potentials.head import HeadForm
from tests.randomised import planted_dataset, random_checkpoint


@pytest.fixture(scope="module")
def moments(planted: tuple[Checkpoint, Checkpoint, Dataset]) -> fisher.Moments:
    return fisher.accumulate(planted[1], planted[2], precision="float64")[0]


def closed_form(ridge: float, moments: fisher.Moments, default: np.ndarray) -> np.ndarray:
    """The head of the path at ``ridge``, from forces."""
    return fisher.head_at(ridge, fisher.equations(moments), default)


def test_planted_head_is_recovered(planted: tuple[Checkpoint, Checkpoint, Dataset]) -> None:
    truth, start, data = planted
    refit = fisher.solve(start, data, fisher.Options(head="shared", ridge=0.0, precision="float64"))
    scale = np.linalg.norm(truth.head)
    assert np.linalg.norm(start.head - truth.head) > 0.5 * scale
    assert np.linalg.norm(refit.checkpoint.head - truth.head) < 1e-8 * scale
    assert refit.force_rmse["fisher"] < 1e-8 < 1e-2 < refit.force_rmse["default"]
    assert refit.energy_rmse["fisher"] < 1e-8
    assert refit.force_change.high is not None and refit.force_change.high < -0.99


@pytest.mark.usefixtures("optimised")  # the last digits
@pytest.mark.parametrize("reduce", [0, 3])
def test_a_planted_quadratic_head_is_recovered(reduce: int) -> None:
    rng = np.random.default_rng(2)
    shared = random_checkpoint()
    basis = np.linalg.qr(rng.normal(size=(6, reduce)))[0] if reduce else None
    start = shared.in_form(HeadForm("quadratic", (1, 6, 8), reduce), basis)
    truth = start.with_head(rng.normal(size=start.head.shape), start.element_bias, "truth", {})
    options = fisher.Options(
        metric="identity", ridge=0.0, precision="float64", test_boltzmann=False
    )
    refit = fisher.solve(start, planted_dataset(truth, 64), options)
    assert refit.checkpoint.form == start.form
    # As far as rounding lets the data tell one head from another.
    away = np.linalg.norm(refit.checkpoint.head - truth.head) / np.linalg.norm(truth.head)
    assert away < 1e-16 * refit.condition_number < 1e-2
    assert refit.force_rmse["fisher"] < 1e-9 * refit.force_rmse["default"]


def divergence_gradient(moments: fisher.Moments, head: np.ndarray) -> np.ndarray:
    """∂J/∂θ = Tθ − c."""
    return (moments.gram @ head - moments.gradient) / moments.frames


def test_divergence_is_stationary_at_the_solution(moments: fisher.Moments) -> None:
    start = np.zeros(len(moments.gradient))
    head = closed_form(0.0, moments, start)
    assert np.abs(divergence_gradient(moments, start)).max() > 1e-2
    assert np.abs(divergence_gradient(moments, head)).max() < 1e-9


def test_gradient_of_the_divergence_is_its_derivative(moments: fisher.Moments) -> None:
    rng = np.random.default_rng(0)
    head, direction = rng.normal(size=(2, len(moments.gradient)))
    step = 1e-4
    numeric = moments.divergence(head + step * direction) - moments.divergence(
        head - step * direction
    )
    assert numeric / (2 * step) == pytest.approx(
        divergence_gradient(moments, head) @ direction, rel=1e-6
    )


def test_the_printed_sign_does_not_minimise(
    planted: tuple[Checkpoint, Checkpoint, Dataset], moments: fisher.Moments
) -> None:
    truth = planted[0]
    printed = -np.linalg.solve(moments.gram, moments.gradient)
    assert np.linalg.norm(printed - truth.head) > np.linalg.norm(truth.head)
    assert np.abs(divergence_gradient(moments, printed)).max() > 1e-2
    assert moments.divergence(printed) > moments.divergence(np.zeros_like(printed))


def test_moments_of_two_parts_add(
    planted: tuple[Checkpoint, Checkpoint, Dataset], moments: fisher.Moments
) -> None:
    _, start, data = planted
    parts = [
        fisher.accumulate(start, data.subset(chosen), precision="float64")[0]
        for chosen in (np.arange(23), np.arange(23, 64))
    ]
    np.testing.assert_allclose(sum(p.gram for p in parts), moments.gram, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        sum(p.gradient for p in parts), moments.gradient, rtol=1e-9, atol=1e-10
    )
    assert sum(p.frames for p in parts) == moments.frames == 64


def test_moments_agree_with_direct_errors(
    planted: tuple[Checkpoint, Checkpoint, Dataset], moments: fisher.Moments
) -> None:
    _, start, data = planted
    errors = evaluate(start, data)
    constant = start.constant(data.atomic_numbers)
    assert moments.force_rmse(start.head) == pytest.approx(errors.force_rmse, rel=1e-9)
    assert moments.energy_rmse(start.head, constant) == pytest.approx(errors.energy_rmse, rel=1e-9)


def test_the_ridge_path_leads_from_the_solution_to_the_default_head(
    moments: fisher.Moments,
) -> None:
    default = np.random.default_rng(3).normal(size=len(moments.gradient))
    problem = fisher.equations(moments)
    path = fisher.ridge_path(problem, moments, moments, default)
    solution = np.linalg.solve(moments.gram, moments.gradient)
    assert path[0].head_change == pytest.approx(np.linalg.norm(solution - default), rel=1e-8)
    far = closed_form(1e12, moments, default)
    np.testing.assert_allclose(far, default, atol=1e-9)
    for name, rising in {"divergence": 1, "head_change": -1, "effective_dof": -1}.items():
        values = np.array([getattr(point, name) for point in path])
        assert (rising * np.diff(values) > -1e-9).all(), name
    middle = path[40]
    direct = np.linalg.solve(
        moments.gram / moments.frames
        + middle.ridge * fisher.equations(moments).spectrum.values[0] * np.eye(len(default)),
        moments.gradient / moments.frames
        + middle.ridge * fisher.equations(moments).spectrum.values[0] * default,
    )
    np.testing.assert_allclose(closed_form(middle.ridge, moments, default), direct, rtol=1e-8)


def test_single_precision_is_close_to_double(
    planted: tuple[Checkpoint, Checkpoint, Dataset], moments: fisher.Moments
) -> None:
    (single,) = fisher.accumulate(planted[1], planted[2])
    assert np.abs(single.gram - moments.gram).max() < 1e-5 * np.abs(moments.gram).max()


def test_an_undetermined_direction_keeps_its_default_value() -> None:
    rng = np.random.default_rng(0)
    g = rng.normal(size=(50, 4))
    g[:, 3] = 0.0
    u = g @ [1.0, 2.0, 3.0, 0.0]
    energy = np.eye(5)
    moments = fisher.Moments(50, 1, g.T @ g, g.T @ u, None, float(u @ u), energy, np.zeros(5), 0.0)
    spec = fisher.equations(moments).spectrum
    head = closed_form(0.0, moments, np.full(4, 7.0))
    assert spec.rank == 3 and spec.condition_number == float("inf")
    np.testing.assert_allclose(head, [1.0, 2.0, 3.0, 7.0], atol=1e-10)


def test_automatic_ridge_helps_when_the_plain_solution_overfits(
    planted: tuple[Checkpoint, Checkpoint, Dataset],
) -> None:
    truth, _, data = planted
    rng = np.random.default_rng(1)
    noisy = Dataset(
        data.positions,
        data.energies,
        data.forces + rng.normal(scale=3.0, size=data.forces.shape),
        data.atomic_numbers,
    )
    plain = fisher.solve(
        truth, noisy, fisher.Options(head="shared", ridge=0.0, precision="float64", holdout=0.7)
    )
    chosen = fisher.solve(
        truth, noisy, fisher.Options(head="shared", ridge="auto", precision="float64", holdout=0.7)
    )
    error = [np.linalg.norm(r.checkpoint.head - truth.head) for r in (plain, chosen)]
    assert chosen.ridge > 0
    assert error[1] < error[0]
