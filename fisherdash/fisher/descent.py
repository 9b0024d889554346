"""Gradient descent on the Fisher divergence: the slow way to the closed form, for teaching.

The loss is a quadratic, so its gradient is (A + λI)θ − (b + λθ₀). Plain descent needs as many
steps as A is badly conditioned; Nesterov's momentum (Soviet Math. Dokl. 27, 372 (1983)) needs the
square root of it. The path is recorded at steps that grow by a constant factor.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.equations import Equations
from fisherdash.fisher.ridge import head_at

STEPS = 200_000
TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True)
class Descent:
    """A descent and where it went.

    Attributes:
        head: where it ended, shape (D,), eV.
        steps: at which the path was recorded.
        distance: |θ − θ*|/|θ*| to the closed form at these steps.
        excess: J − J* at these steps, in the units of J.
        converged: whether the gradient fell to TOLERANCE of its first size.
    """

    head: Float[np.ndarray, " d"]
    steps: tuple[int, ...]
    distance: tuple[float, ...]
    excess: tuple[float, ...]
    converged: bool


def descend(
    problem: Equations,
    default: Float[np.ndarray, " d"],
    ridge: float,
    steps: int = STEPS,
) -> Descent:
    """Minimises ½θᵀAθ − θᵀb + ½λ|θ − θ₀|² from θ₀ with Nesterov's momentum.

    Args:
        problem: A and b.
        default: θ₀, shape (D,), where it starts.
        ridge: λ over the largest eigenvalue of A.
        steps: at most.
    """
    spec = problem.spectrum
    lam = ridge * spec.values[0]
    matrix = problem.matrix + lam * np.eye(len(default))
    right = problem.target + lam * default
    best = head_at(ridge, problem, default)
    top = spec.values[0] + lam
    bottom = (spec.values[-1] if spec.rank == len(spec.values) else 0.0) + lam
    root = np.sqrt(max(bottom, 1e-300) / top)
    momentum = (1 - root) / (1 + root)
    marks = {0, *np.unique(np.geomspace(1, steps, 60).astype(int)).tolist()}
    theta, before = default.copy(), default.copy()
    start = np.linalg.norm(matrix @ theta - right)
    path, converged = [], False
    for step in range(steps + 1):
        if step in marks or converged:
            away = theta - best
            path.append((step, np.linalg.norm(away), 0.5 * away @ matrix @ away))
        if converged or step == steps:
            break
        ahead = theta + momentum * (theta - before)
        gradient = matrix @ ahead - right
        before, theta = theta, ahead - gradient / top
        converged = bool(np.linalg.norm(gradient) <= TOLERANCE * start)
    scale = max(float(np.linalg.norm(best)), 1e-300)
    return Descent(
        head=theta,
        steps=tuple(int(step) for step, _, _ in path),
        distance=tuple(float(away) / scale for _, away, _ in path),
        excess=tuple(float(value) for _, _, value in path),
        converged=converged,
    )
