"""Settings of a training, with the published report's values as defaults."""

import dataclasses
import math
from typing import Any, Literal

from fisherdash.errors import InputError

SCHEDULES = ("anneal", "cosine", "constant")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        epochs: passes over the training frames.
        batch_size: frames per step of the optimiser.
        learning_rate: of Adam, at its highest.
        forces_weight: weight of the force term of the loss against the energy term.
        schedule: "anneal" holds the rate for 60 % of the epochs and then lowers it to a hundredth
            (a cosine); "cosine" climbs for a hundredth of the steps and then falls all the way, to
            a thousandth, which serves long trainings; "constant" is what the report did, and ends
            with a noisier network.
        average: weights are judged and kept as a moving average over the steps, of which each new
            step replaces the share 1 − average; 0 keeps the weights as they are. 0.999 with small
            batches takes out the noise of about the last thousand steps.
        clip: a gradient longer than so many times its usual length (a moving average) is shortened
            to that, which keeps one odd batch from throwing a fast training off its path; 0 never
            shortens.
        sharpness_radius: above 0, every gradient is taken after a step of this length uphill, which
            looks for flat minima (sharpness-aware minimisation) and doubles the cost of an epoch;
            in the norm of all weights together, usually 0.01 to 0.1.
        patience: epochs without a better validation loss before training stops, None for never.
        seed: of the initial weights and of the order of the frames.
    """

    epochs: int = 100
    batch_size: int = 30
    learning_rate: float = 0.01
    forces_weight: float = 1.0
    schedule: Literal["anneal", "cosine", "constant"] = "anneal"
    average: float = 0.0
    clip: float = 0.0
    sharpness_radius: float = 0.0
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in {"epochs": 1, "batch_size": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise InputError(f"{name} must be a whole number from {low}, received {value!r}")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience must be at least 1 epoch or None, received {self.patience}")
        if not 0 < self.learning_rate <= 1:
            raise InputError(
                f"learning_rate must be above 0 and at most 1, received {self.learning_rate}"
            )
        if not (math.isfinite(self.forces_weight) and self.forces_weight >= 0):
            raise InputError(f"forces_weight must not be negative, received {self.forces_weight}")
        if not 0 <= self.average < 1:
            raise InputError(f"average must be from 0 to below 1, received {self.average}")
        if not (math.isfinite(self.clip) and self.clip >= 0):
            raise InputError(f"clip must not be negative, received {self.clip}")
        if not (math.isfinite(self.sharpness_radius) and self.sharpness_radius >= 0):
            raise InputError(
                f"sharpness_radius must not be negative, received {self.sharpness_radius}"
            )
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule must be one of {SCHEDULES}, received {self.schedule!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON-able dict."""
        return dataclasses.asdict(self)
