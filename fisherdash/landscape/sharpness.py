"""Sharpness: how much the loss rises one step of a given length up its gradient.

    S = L(w + ρ g/|g|) − L(w),   g = ∇L(w)

to first order the worst that a change of the weights of length ρ can do. It is what
sharpness-aware minimisation keeps low (P. Foret et al., ICLR 2021) and what Allegro-Legato found
to go with the time to failure of molecular dynamics (H. Ibayashi et al., ISC High Performance
2023, 223).
"""

import dataclasses
import math
import threading

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.landscape.loss import Loss, Objective, Scope, Watch, moved, norm, stop_if

RADIUS = 0.05
"""The usual ρ, that of Foret et al.; weights of the head count in kcal/mol."""


@dataclasses.dataclass(frozen=True)
class Sharpness:
    """How sharp the loss is around a checkpoint.

    Attributes:
        radius: ρ, length of the step in the space of weights (the head in kcal/mol).
        here: the loss at the checkpoint.
        raised: the loss after the step.
        gradient_norm: |g|, (kcal/mol)² per unit of weight.
        weights_norm: |w| of the weights that were moved.
        frames: number of frames over which the loss is the mean.
    """

    radius: float
    here: Loss
    raised: Loss
    gradient_norm: float
    weights_norm: float
    frames: int

    @property
    def value(self) -> float:
        """S = L(w + ρ g/|g|) − L(w) in (kcal/mol)²."""
        return self.raised.value - self.here.value


def sharpness(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    radius: float = RADIUS,
    scope: Scope = "all",
    forces_weight: float = 1.0,
    precision: str = "float32",
    cancel: threading.Event | None = None,
    watch: Watch | None = None,
) -> Sharpness:
    """Sharpness of a checkpoint over all frames of a data set.

    Args:
        checkpoint: body and head.
        dataset: frames with energies and forces; some hundred are enough.
        radius: ρ, at least 0.
        scope: "all" moves body and head, "head" the head alone.
        forces_weight: of the forces in the loss, as in training.
        precision: of the network, "float32" or "float64".
        cancel: set it to stop between two blocks of frames.
        watch: called with the blocks done and their total.

    Raises:
        InputError: if the molecule does not fit the model, a setting makes no sense, the loss is
            not finite, or ``cancel`` was set.
    """
    if not (math.isfinite(radius) and radius >= 0):
        raise InputError(f"radius must be a length of at least 0, received {radius}")
    objective = Objective(
        checkpoint, dataset, scope=scope, forces_weight=forces_weight, precision=precision
    )

    def between(done: int, total: int) -> None:
        stop_if(cancel, done, total)
        if watch is not None:
            watch(done, total)

    here = objective.at(objective.weights)
    gradient = objective.gradient(objective.weights, between)
    length = norm(gradient)
    if not math.isfinite(here.value + length):
        raise InputError(f"the loss of '{checkpoint.name}' on these frames is not finite")
    # At a minimum there is no way up to first order, and no step.
    uphill = moved(objective.weights, (radius / length if length else 0.0, gradient))
    return Sharpness(
        radius=radius,
        here=here,
        raised=objective.at(uphill),
        gradient_norm=length,
        weights_norm=norm(objective.weights),
        frames=len(dataset),
    )
