"""The re-fit of the last layer, and the dynamics behind its stability-aware ridge."""

import dataclasses
from typing import Literal

from fisherdash.errors import InputError
from fisherdash.settings.dynamics import MDSettings, Precision
from fisherdash.settings.fields import Power, Settings, like, setting
from fisherdash.settings.training import MOST_SEED

Rule = Literal["auto", "evidence", "gcv", "stable"]
Metric = Literal["identity", "noise", "weighted noise"]
USUAL_NOISE_RIDGE = 0.01
"""λ of the noise metric where nothing else was asked for."""
MOST_WEIGHTS = 2000
"""Weights of a quadratic head, beyond which its features are reduced unless that was given."""


def most_directions(elements: int, features: int) -> int:
    """How many may enter the products of a quadratic head of at most MOST_WEIGHTS weights."""
    sizes = [
        elements * (features + r * (r + 1) // 2) <= MOST_WEIGHTS for r in range(1, features + 1)
    ]
    return max(1, sum(sizes))


# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class StabilitySettings(Settings):
    """How candidate heads along the ridge path are tried in short dynamics.

    ``seed`` is that of frames and momenta; the confirmation takes another one.
    """

    replicas: int = setting(
        24, label="Replicas", low=2, high=10**6,
        help="Trajectories of every candidate head. 24 tell large differences only; 64 or more are "
        "better.",
    )
    picoseconds: float = setting(
        1.0, label="Length", unit="ps", above=0, high=1000, step=0.5,
        help="Length of each trajectory. Under-trained models often fail within 1 to 4 ps.",
    )
    timestep: float = like(MDSettings, "timestep")
    temperature: float | None = like(
        MDSettings, "temperature", None, flag="--md-temperature",
        help="Temperature of the initial momenta. Hotter runs find instabilities sooner.",
    )
    points: int = setting(
        7, label="Candidates", low=1, high=1000,
        help="Candidate heads on the ridge path, from the held-out minimum (with the noise metric "
        "from the usual ridge) towards the default head.",
    )
    seed: int = like(MDSettings, "seed", flag=False)

    @property
    def steps(self) -> int:
        """Steps of velocity Verlet."""
        return max(1, round(1000 * self.picoseconds / self.timestep))


@dataclasses.dataclass(frozen=True)
class Options(Settings):
    """Settings of a re-fit.

    ``ridge`` is λ, with the identity metric as a multiple of the largest eigenvalue, or a rule of
    :mod:`fisherdash.fisher.ridge`; ``stability`` is of the runs that the rule "stable" needs. The
    Boltzmann test is always made with the method "laplacian", which depends on it.
    """

    method: Literal["forces", "laplacian", "gradient", "kl"] = setting(
        "forces", label="Fit",
        words={
            "forces": "from forces",
            "laplacian": "from positions and the temperature alone",
            "gradient": "by gradient descent",
            "kl": "by relative entropy",
        },
        help="Forces give the head in one step. Without them (laplacian) it follows from the "
        "second derivatives of the descriptors, if the frames are a Boltzmann sample. Gradient "
        "descent arrives at the same head as the forces, step by step. Relative entropy (kl) "
        "compares the data with samples of the model's own dynamics: slow, and without forces.",
    )
    ridge: Rule | float = setting(
        "auto", label="Ridge λ chosen by", low=0, high=1e12,
        words={
            "auto": "automatic", "stable": "stable dynamics", "evidence": "evidence",
            "gcv": "GCV",
        },
        help="The ridge pulls the new head towards the default one. Automatic (auto): the largest "
        "λ whose loss on frames that were not fitted is within one standard error of the lowest; "
        "with the noise metric 0.01, because held-out frames say nothing of where there are no "
        "data, or the default head where that does not lower the held-out loss. Stable dynamics: "
        "the lowest divergence among heads whose short NVE runs lose the fewest replicas, and no "
        "more than the default's. Evidence and GCV judge by the fitted frames alone and take them "
        "as independent. Or a number: a multiple of the largest eigenvalue with the identity "
        "metric, a pure number with the noise metric.",
        power=Power(
            "λ as a power of ten", low=-14, high=2, usual=-6,
            help="Identity metric: of the largest eigenvalue, usually −8 to −2. Noise metric: "
            "usually −2 to −1. Small values fit the forces best but let the head grow, which "
            "has made dynamics less stable.",
        ),
    )
    temperature: float | None = setting(
        None, label="Temperature of the data", unit="K", above=0, high=1e5, step=50, advanced=True,
        unset="that of the data set",
        help="What the frames were sampled at, where the file says nothing or something wrong. The "
        "Boltzmann test compares with it, the fit without forces depends on it.",
    )
    head: Literal["shared", "by element", "quadratic"] = setting(
        "quadratic", label="Head",
        words={
            "shared": "one for all atoms",
            "by element": "one for each element",
            "quadratic": "by element and quadratic",
        },
        help="One vector θ for all atoms (the published report's), one for each element, or for "
        "each element the products of features too (quadratic). All are a closed form; wider ones "
        "need a ridge that holds the forces beside the data.",
    )
    metric: Metric | None = setting(
        None, label="Metric of the ridge", omitted="identity",
        unset="as suits the head",
        words={
            "identity": "weights",
            "noise": "forces beside the data",
            "weighted noise": "forces beside the data, far ones less",
        },
        help="What the ridge keeps close to the default head: its weights (identity), or its "
        "forces at frames displaced from the data at random, which need no labels (noise). With "
        "weighted noise a displaced frame counts the less the larger its forces are. "
        "Noise suits a quadratic head, identity the others.",
    )
    reduce: int | None = setting(
        None, label="Reduced features", low=1, high=4096, advanced=True, omitted=True,
        unset="automatic",
        help="Principal directions of the features' gradients that enter the products of a "
        f"quadratic head. Automatic: as many as keep it at or below {MOST_WEIGHTS:,} weights.",
    )
    noise_frames: int = setting(
        512, label="Noise frames", low=1, high=10**6, advanced=True, omitted=True,
        help="Displaced frames of the noise metric. With 128 results have changed with the draw.",
    )
    noise_low: float = setting(
        0.05, label="Least noise", unit="Å", above=0, high=10, step=0.01, advanced=True,
        omitted=True,
        help="Each displaced frame draws a width between the least and the largest; every "
        "coordinate is displaced by normal noise of that width.",
    )
    noise_high: float = setting(
        0.3, label="Largest noise", unit="Å", above=0, high=10, step=0.05, advanced=True,
        omitted=True, help="The upper end of the range of widths.",
    )
    label_displaced: int = setting(
        0, label="Labelled displacements", low=0, high=10**5, advanced=True, omitted=True,
        help="Displaced frames, drawn like those of the noise metric, that the potential of the "
        "data labels; usually 128.",
    )
    label_dynamics: int = setting(
        0, label="Labelled frames of its own dynamics", low=0, high=10**5, advanced=True,
        omitted=True,
        help="Replicas of the head's own dynamics, of which one frame each is labelled, shortly "
        "before the failure of those that fail; usually 32.",
    )
    label_rounds: int = setting(
        1, label="Rounds of own dynamics", low=1, high=100, advanced=True, omitted=True,
        help="Each round runs the head that the labels before it gave.",
    )
    label_temperature: float = setting(
        1000.0, label="Temperature of own dynamics", unit="K", above=0, high=1e5, step=50,
        advanced=True, omitted=True,
        help="Hot enough that the head is led to where it fails.",
    )
    label_picoseconds: float = setting(
        3.0, label="Length of own dynamics", unit="ps", above=0, high=1000, step=0.5,
        advanced=True, omitted=True, help="Length of the dynamics of each replica in a round.",
    )
    energy_weight: float = setting(
        0.0, label="Energy weight", unit="1/Å²", low=0, high=1e9, advanced=True,
        help="Weight of the squared energy error (eV²) against the mean squared force component "
        "(eV²/Å²). 0 fits forces alone; 1 is what a training with equal weights minimises.",
    )
    test_boltzmann: bool = setting(
        True, label="Boltzmann test", flag="--quick", advanced=True,
        words={True: "made", False: "left out"},
        help="Tests whether the frames are a Boltzmann sample of their temperature, which takes "
        "about three times as long as the fit.",
    )
    probes: int | None = setting(
        None, label="Laplacian probes", low=1, high=10**6, unset="exact", advanced=True,
        help="Random directions for each frame's Laplacians, for molecules of some dozens of "
        "atoms; without, Laplacians are exact, from all directions.",
    )
    holdout: float = setting(
        0.2, label="Share held out", above=0, below=1, step=0.05, advanced=True,
        help="Share of the frames that is not fitted: half of them choose the ridge, half report.",
    )
    seed: int = setting(
        0, label="Seed", low=0, high=MOST_SEED, advanced=True,
        help="Seed of the division of the frames, of bootstraps, probes and displaced frames.",
    )
    precision: Precision = like(
        MDSettings, "precision", advanced=True,
        help="Precision of the network; all sums are double precision in any case.",
    )
    stability: StabilitySettings = dataclasses.field(default_factory=StabilitySettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.energy_weight and self.method == "laplacian":
            raise InputError(
                "the Laplacian way sees positions alone: energy_weight must be 0 with it, received "
                f"{self.energy_weight}"
            )
        if self.labels:
            self.check_labels()
        if self.noise_low > self.noise_high:
            raise InputError(
                f"noise_high must be at least noise_low ({self.noise_low:g} Å), received "
                f"{self.noise_high:g} Å"
            )

    def check_labels(self) -> None:
        """InputError for a method that cannot use labelled frames."""
        if self.method not in ("forces", "gradient"):
            raise InputError(
                "labels are forces: labelled frames go with the methods forces and gradient, "
                f"received {self.method!r}"
            )

    @property
    def labels(self) -> bool:
        """Whether frames are to be labelled."""
        return bool(self.label_displaced or self.label_dynamics)

    @property
    def ridge_metric(self) -> Metric:
        """The metric that was asked for, or the usual one of the head."""
        return self.metric or ("noise" if self.head == "quadratic" else "identity")

    @property
    def noisy(self) -> bool:
        """Whether the metric of the ridge is one of displaced frames."""
        return self.ridge_metric != "identity"

    @property
    def laplacians(self) -> bool:
        """Whether the pass over the data sums Laplacians."""
        return self.method == "laplacian" or self.test_boltzmann
