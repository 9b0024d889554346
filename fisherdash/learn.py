"""Score matching in two dimensions, small enough to be seen: the Müller–Brown potential.

The true potential is U(x) = Σ_k A_k exp(−½ (x−m_k)ᵀ P_k (x−m_k)) after K. Müller and L. D. Brown,
Theor. Chim. Acta 53, 75 (1979), scaled so that kT is about 1. The model is linear, as the last
layer of a force field is: U_θ(x) = θ·φ(x) with fixed φ. Symbols as everywhere, at β = 1:

  G(x) = ∂φ/∂x, shape (2, K)       T = E[GᵀG]       c = E[Gᵀ∇U]       b = −E[Δφ]
  J(θ) = ½ E|∇U − Gθ|² = ½ θᵀTθ − θᵀc + const, least at θ* = T⁻¹c,
  and θ* = −T⁻¹b from points alone, where these are a Boltzmann sample (integration by parts).

The Learn page's drawing gets landscapes on a grid, the matrices of J, paths and runs; the browser
evaluates J(θ) and U_θ itself, so that dragging θ needs no server.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fisherdash import viewer
from fisherdash.errors import InputError
from fisherdash.plots.chart import DEFAULT, FISHER, OTHERS

SCALE = 0.06
"""Of the published potential, so that its barriers are a few kT high at kT = 1."""
BOX = (-1.6, 1.2, -0.4, 2.0)
"""x from, x to, y from, y to: where the landscape is looked at."""
AMPLITUDES = SCALE * np.array([-200.0, -100.0, -170.0, 15.0])

_CENTRES = np.array([[1.0, 0.0], [0.0, 0.5], [-0.5, 1.5], [-1.0, 1.0]])
_EXPONENTS = np.array([[-1, 0, -10], [-1, 0, -10], [-6.5, 11, -6.5], [0.7, 0.6, 0.7]], float)
_ROOM = (-2.2, 1.8, -1.0, 2.6)  # beyond it the Boltzmann weight is below 10⁻⁷ of the total

Points = Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Basis:
    """K functions φ_k(x) = exp(−½ (x−m_k)ᵀ P_k (x−m_k)): centres (K, 2), precisions (K, 2, 2)."""

    centres: np.ndarray
    precisions: np.ndarray

    def _parts(self, x: Points) -> tuple[np.ndarray, np.ndarray]:
        away = x[:, None] - self.centres
        pull = np.einsum("kij,nkj->nki", self.precisions, away)
        return np.exp(-0.5 * np.einsum("nki,nki->nk", away, pull)), pull

    def values(self, x: Points) -> Float[np.ndarray, "n K"]:
        """φ(x)."""
        return self._parts(x)[0]

    def gradients(self, x: Points) -> Float[np.ndarray, "n 2 K"]:
        """G(x) = ∂φ/∂x."""
        value, pull = self._parts(x)
        return np.swapaxes(-value[..., None] * pull, 1, 2)

    def laplacians(self, x: Points) -> Float[np.ndarray, "n K"]:
        """Δφ = φ (|P(x−m)|² − tr P)."""
        value, pull = self._parts(x)
        return value * ((pull**2).sum(axis=-1) - np.trace(self.precisions, axis1=1, axis2=2))


def own_terms() -> Basis:
    """The four terms of the true potential: a model that can be exact."""
    a, b, c = _EXPONENTS.T
    precisions = -np.stack([np.stack([2 * a, b], -1), np.stack([b, 2 * c], -1)], axis=1)
    return Basis(_CENTRES, precisions)


def gaussians(side: int = 5) -> Basis:
    """side² round Gaussians on a grid: a model that cannot be exact, as a network cannot."""
    x, y = np.linspace(*BOX[:2], side), np.linspace(*BOX[2:], side)
    centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    width = 0.85 * (x[1] - x[0])
    return Basis(centres, np.broadcast_to(np.eye(2) / width**2, (side**2, 2, 2)))


TRUTH = own_terms()


def potential(x: Points) -> Float[np.ndarray, " n"]:
    """The true U(x) in units of kT at temperature 1."""
    return TRUTH.values(x) @ AMPLITUDES


def gradient(x: Points) -> Points:
    """∇U(x)."""
    return TRUTH.gradients(x) @ AMPLITUDES


def sample(count: int, temperature: float = 1.0, seed: int = 0) -> Points:
    """Independent points of the density ∝ exp(−U/T), exactly, by rejection."""
    if count < 1 or not temperature > 0:
        raise InputError(f"points need a count and a temperature above 0: {count}, {temperature}")
    rng = np.random.default_rng(seed)
    low, high = np.array(_ROOM[::2]), np.array(_ROOM[1::2])
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 200).T), axis=-1).reshape(-1, 2)
    least = potential(grid).min() - 0.05  # the grid misses the minimum by less
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        x = rng.uniform(low, high, (20_000, 2))
        kept.append(x[rng.random(len(x)) < np.exp(-(potential(x) - least) / temperature)])
    return np.concatenate(kept)[:count]


def scatter(count: int, seed: int = 0) -> Points:
    """Points spread evenly over the box: no Boltzmann sample at any temperature."""
    rng = np.random.default_rng(seed)
    return rng.uniform(BOX[::2], BOX[1::2], (count, 2))


@dataclass(frozen=True)
class Objective:
    """J as a quadratic of θ: T (K, K), c (K,), b (K,) and ½ E|∇U|², means over points."""

    t: np.ndarray
    c: np.ndarray
    b: np.ndarray
    constant: float

    def divergence(self, theta: np.ndarray) -> float:
        """J(θ), zero for the true gradient."""
        return float(0.5 * theta @ self.t @ theta - theta @ self.c + self.constant)

    def solve(
        self, ridge: float, start: np.ndarray, alone: bool = False, metric: np.ndarray | None = None
    ) -> np.ndarray:
        """(T + λ M) θ = rhs + λ M θ₀: the head, close to θ₀ as ``metric`` M measures it.

        Without a metric M is the identity and λ in units of T's largest eigenvalue. ``alone``
        takes −b, which needs no forces, for c. Where T is singular, the least change.
        """
        rhs = (-self.b if alone else self.c) - self.t @ start
        size = np.linalg.eigvalsh(self.t)[-1]
        held = size * np.eye(len(rhs)) if metric is None else metric
        return start + np.linalg.lstsq(self.t + ridge * held, rhs, rcond=1e-12)[0]

    def descent(self, start: np.ndarray, steps: int) -> Float[np.ndarray, "steps1 K"]:
        """Gradient descent on J from θ₀ with the step 1/λ_max; the path, its start included."""
        path, rate = [start], 1.0 / np.linalg.eigvalsh(self.t)[-1]
        for _ in range(steps):
            path.append(path[-1] - rate * (self.t @ path[-1] - self.c))
        return np.array(path)


def moments(x: Points, basis: Basis) -> Objective:
    """Means over the points; the forces are the true ones."""
    g, force = basis.gradients(x), gradient(x)
    return Objective(
        t=np.einsum("nik,nil->kl", g, g) / len(x),
        c=np.einsum("nik,ni->k", g, force) / len(x),
        b=-basis.laplacians(x).mean(axis=0),
        constant=0.5 * float((force**2).sum(axis=1).mean()),
    )


COPIES = 8
"""Of every point, displaced."""


def noise_metric(x: Points, basis: Basis, sigma: float, seed: int = 0) -> np.ndarray:
    """T_σ (K, K), the mean of GᵀG over the points displaced by normal noise of width σ: a ridge
    with this metric holds the forces where the points are not."""
    rng = np.random.default_rng(seed)
    moved = np.repeat(x, COPIES, axis=0) + sigma * rng.standard_normal((COPIES * len(x), 2))
    g = basis.gradients(moved)
    return np.einsum("nik,nil->kl", g, g) / len(moved)


GRID = 56
SHOWN = 1200
START, PUSH, STEP, STEPS = [-0.558, 1.442], [2.0, -2.6], 0.01, 400
"""The ball: start, velocity, time step and steps of the velocity Verlet done in the browser."""
SEED = 7

Source = Literal["boltzmann", "hot", "even"]
Model = Literal["own", "gaussians", "many"]
MODELS = {
    "own": own_terms,
    "gaussians": gaussians,
    "many": lambda: gaussians(8),
}
"""The terms of the truth; 25 round Gaussians; 64 narrower ones, a wider set of functions."""
SIGMA = 0.35
"""Width of the noise of the noise ridge, in units of the plane."""
HOT = 3.0
"""Temperature of the points that the fit wrongly takes for those of temperature 1."""


@dataclass(frozen=True)
class Lesson:
    """A choice of points, model and ridge, and the three heads that follow from it."""

    points: np.ndarray
    basis: Basis
    moments: Objective
    default: np.ndarray
    closed: np.ndarray
    alone: np.ndarray
    ridge: float
    metric: np.ndarray | None

    def divergences(self) -> dict[str, float]:
        """J of the default head, of the fit from forces and of the fit from points alone."""
        names = ("default", "closed", "alone")
        return {name: self.moments.divergence(getattr(self, name)) for name in names}


def lesson(
    source: Source, count: int, model: Model, ridge: float, *, noise: bool = False
) -> Lesson:
    """Points, moments and heads.

    Args:
      source: where the points come from; the fit takes them for a sample at temperature 1.
      count: of points.
      model: which functions it has, see MODELS.
      ridge: λ, pulls towards the default head; in units of the largest eigenvalue of T, or with
        ``noise`` a pure number.
      noise: measure the distance by the forces at displaced points, not by the weights.
    """
    points = {
        "boltzmann": lambda: sample(count, 1.0, SEED),
        "hot": lambda: sample(count, HOT, SEED),
        "even": lambda: scatter(count, SEED),
    }[source]()
    basis = MODELS[model]()
    metric = noise_metric(points, basis, SIGMA, seed=SEED) if noise else None
    sums = moments(points, basis)
    default = _default(basis)
    return Lesson(
        points,
        basis,
        sums,
        default,
        sums.solve(ridge, default, metric=metric),
        sums.solve(ridge, default, alone=True, metric=metric),
        ridge,
        metric,
    )


def _default(basis: Basis) -> np.ndarray:
    """A head as training may leave it: from two dozen points, with a pull towards zero."""
    few = moments(np.concatenate([sample(20, 2.0, SEED), scatter(4)]), basis)
    return few.solve(1e-3, np.zeros(len(few.c)))


def payload(made: Lesson) -> dict[str, Any]:
    """Plain numbers for ``lesson.js``."""
    x, y = np.linspace(*BOX[:2], GRID), np.linspace(*BOX[2:], GRID)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    ridges = [0.0, *np.logspace(-9, 2, 34)]
    descent = made.moments.descent(made.default, 3000)
    shown = np.unique(np.logspace(0, np.log10(len(descent)), 90).round().astype(int)) - 1
    ways = [made.moments.solve(ridge, made.default, metric=made.metric) for ridge in ridges]
    return {
        "box": list(BOX),
        "grid": GRID,
        "truth": viewer.numbers(potential(grid)),
        "basis": viewer.numbers(made.basis.values(grid).T),
        "points": viewer.numbers(made.points[:SHOWN]),
        "t": made.moments.t.tolist(),
        "c": made.moments.c.tolist(),
        "constant": made.moments.constant,
        "default": made.default.tolist(),
        "closed": made.closed.tolist(),
        "alone": made.alone.tolist(),
        "descent": descent[shown].tolist(),
        "ridges": np.array(ways).tolist(),
        "pair": _telling(made),
        "functions": _functions(made.basis),
        "true": _functions(TRUTH) | {"theta": AMPLITUDES.tolist()},
        "ball": {"start": START, "push": PUSH, "step": STEP, "steps": STEPS},
        "colours": {
            "default": DEFAULT.colour,
            "closed": FISHER.colour,
            "alone": OTHERS[0].colour,
            "path": OTHERS[1].colour,
        },
    }


def _functions(basis: Basis) -> dict[str, Any]:
    return {"centres": basis.centres.tolist(), "precisions": basis.precisions.tolist()}


def _telling(made: Lesson) -> list[int]:
    """The two weights whose change from the default head lowers J most."""
    change = np.abs(made.closed - made.default) * np.sqrt(np.diag(made.moments.t))
    return [int(k) for k in np.argsort(change)[::-1][:2]]
