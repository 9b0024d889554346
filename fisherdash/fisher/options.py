"""What the user chooses about a re-fit, and how the frames are divided for it."""

import dataclasses
import math
from typing import Literal

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.ridge import RULES, Rule
from fisherdash.fisher.stability import StabilitySettings

Method = Literal["forces", "laplacian", "gradient"]
METHODS: tuple[Method, ...] = ("forces", "laplacian", "gradient")
HeadForm = Literal["shared", "by element"]
HEAD_FORMS: tuple[HeadForm, ...] = ("shared", "by element")
MIN_FRAMES = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of a re-fit; refuses what makes no sense with an InputError.

    Attributes:
        method: "forces" (explicit score matching), "laplacian" (implicit: the fit and the choice
            of the ridge see positions and the temperature, never forces), or "gradient" (descent
            to what "forces" gives in one step, with its path).
        ridge: λ over the largest eigenvalue, or a rule of :mod:`fisherdash.fisher.ridge`.
        temperature: of the frames in K; None for the data set's own.
        head: "shared" (one θ for all atoms) or "by element" (one for each element).
        energy_weight: of the squared energy error (eV²) against the mean squared force component
            (eV²/Å²), Å⁻²; 0 fits forces alone.
        test_boltzmann: whether to test the hypothesis that the frames are a Boltzmann sample, which
            takes about three times as long as the fit; always done with "laplacian", which
            depends on it.
        probes: random directions for each frame's Laplacians, for large molecules; None for the
            exact Laplacians, from all 3N directions.
        holdout: share of the frames that is not fitted.
        seed: of the division of the frames, of bootstraps and probes.
        precision: of the network; all sums are float64.
        stability: of the runs that the rule "stable" needs.
    """

    method: Method = "forces"
    ridge: Rule | float = "auto"
    temperature: float | None = None
    head: HeadForm = "shared"
    energy_weight: float = 0.0
    test_boltzmann: bool = True
    probes: int | None = None
    holdout: float = 0.2
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"
    stability: StabilitySettings = dataclasses.field(default_factory=StabilitySettings)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method must be one of {METHODS}, received {self.method!r}")
        if self.head not in HEAD_FORMS:
            raise InputError(f"head must be one of {HEAD_FORMS}, received {self.head!r}")
        number = isinstance(self.ridge, (int, float)) and 0 <= self.ridge < math.inf
        if self.ridge not in RULES and not number:
            raise InputError(
                f"ridge must be one of {RULES} or a number from 0, received {self.ridge!r}"
            )
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise InputError(f"temperature must be above 0 K, received {self.temperature}")
        if not 0 <= self.energy_weight < math.inf:
            raise InputError(f"energy_weight must be 0 or more, received {self.energy_weight}")
        if self.energy_weight and self.method == "laplacian":
            raise InputError(
                "the Laplacian way sees positions alone: energy_weight must be 0 with it, received "
                f"{self.energy_weight}"
            )
        if self.probes is not None and self.probes < 1:
            raise InputError(f"probes must be a whole number from 1, received {self.probes}")
        if not 0 < self.holdout < 1:
            raise InputError(f"holdout must be a share between 0 and 1, received {self.holdout}")

    @property
    def laplacians(self) -> bool:
        """Whether the pass over the data sums Laplacians."""
        return self.method == "laplacian" or self.test_boltzmann


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Frames to fit, to choose the ridge, and to report on; the last two coincide if not chosen."""

    fit: Dataset
    ridge: Dataset
    report: Dataset
    chosen: bool


def divide(dataset: Dataset, options: Options) -> Division:
    """Divides the frames at random; raises InputError for fewer than :data:`MIN_FRAMES`."""
    if len(dataset) < MIN_FRAMES:
        raise InputError(
            f"a re-fit needs at least {MIN_FRAMES} frames, part of which are held out; "
            f"received {len(dataset)}"
        )
    order = np.random.default_rng(options.seed).permutation(len(dataset))
    held = min(max(2, round(options.holdout * len(dataset))), len(dataset) - 1)
    # In the order of time, so that groups of consecutive frames mean something.
    fit, rest = np.sort(order[held:]), order[:held]
    half, chosen = held // 2, isinstance(options.ridge, str)
    choose, report = (np.sort(rest[:half]), rest[half:]) if chosen else (np.sort(rest), rest)
    return Division(dataset.subset(fit), dataset.subset(choose), dataset.subset(report), chosen)
