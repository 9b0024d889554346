"""What the Learn page's drawing needs: landscapes on a grid, the matrices of J, paths and runs.

The browser then evaluates J(θ) and U_θ itself, so that dragging θ needs no server.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fisherdash import learn, viewer
from fisherdash.plots.theme import DEFAULT, FISHER, OTHERS

GRID = 56
SHOWN = 1200
START, PUSH, STEP, STEPS = [-0.558, 1.442], [2.0, -2.6], 0.01, 400
"""The ball: start, velocity, time step and steps of the velocity Verlet done in the browser."""
SEED = 7

Source = Literal["boltzmann", "hot", "even"]
Model = Literal["own", "gaussians", "many"]
MODELS = {
    "own": learn.own_terms,
    "gaussians": learn.gaussians,
    "many": lambda: learn.gaussians(8),
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
    basis: learn.Basis
    moments: learn.Objective
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
        "boltzmann": lambda: learn.sample(count, 1.0, SEED),
        "hot": lambda: learn.sample(count, HOT, SEED),
        "even": lambda: learn.scatter(count, SEED),
    }[source]()
    basis = MODELS[model]()
    metric = learn.noise(points, basis, SIGMA, seed=SEED) if noise else None
    moments = learn.moments(points, basis)
    default = _default(basis)
    return Lesson(
        points,
        basis,
        moments,
        default,
        moments.solve(ridge, default, metric=metric),
        moments.solve(ridge, default, alone=True, metric=metric),
        ridge,
        metric,
    )


def _default(basis: learn.Basis) -> np.ndarray:
    """A head as training may leave it: from two dozen points, with a pull towards zero."""
    few = learn.moments(np.concatenate([learn.sample(20, 2.0, SEED), learn.scatter(4)]), basis)
    return few.solve(1e-3, np.zeros(len(few.c)))


def payload(made: Lesson) -> dict[str, Any]:
    """Plain numbers for ``lesson.js``."""
    x, y = np.linspace(*learn.BOX[:2], GRID), np.linspace(*learn.BOX[2:], GRID)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    ridges = [0.0, *np.logspace(-9, 2, 34)]
    descent = made.moments.descent(made.default, 3000)
    shown = np.unique(np.logspace(0, np.log10(len(descent)), 90).round().astype(int)) - 1
    ways = [made.moments.solve(ridge, made.default, metric=made.metric) for ridge in ridges]
    return {
        "box": list(learn.BOX),
        "grid": GRID,
        "truth": viewer.numbers(learn.potential(grid)),
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
        "true": _functions(learn.TRUTH) | {"theta": learn.AMPLITUDES.tolist()},
        "ball": {"start": START, "push": PUSH, "step": STEP, "steps": STEPS},
        "colours": {
            "default": DEFAULT.colour,
            "closed": FISHER.colour,
            "alone": OTHERS[0].colour,
            "path": OTHERS[1].colour,
        },
    }


def _functions(basis: learn.Basis) -> dict[str, Any]:
    return {"centres": basis.centres.tolist(), "precisions": basis.precisions.tolist()}


def _telling(made: Lesson) -> list[int]:
    """The two weights whose change from the default head lowers J most."""
    change = np.abs(made.closed - made.default) * np.sqrt(np.diag(made.moments.t))
    return [int(k) for k in np.argsort(change)[::-1][:2]]
