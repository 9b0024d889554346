"""The network, and how it is trained; the defaults are the published report's."""

import dataclasses
from typing import ClassVar, Literal

from fisherdash.settings.fields import Settings, like, setting

MAX_ATOMIC_NUMBER = 118
MOST_SEED = 10**15


# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """What fixes the shape of a network."""

    FIELDS: ClassVar[str] = "a model configuration has the fields"
    FLOATS: ClassVar[bool] = True

    features: int = setting(
        32, label="Features", low=1, high=1024,
        help="Numbers per atom, and descriptors of the last layer; usually 16 to 64.",
    )
    max_degree: int = setting(
        2, label="Highest degree", low=0, high=3,
        help="Highest degree of the equivariant features: 0 knows distances only, 1 adds "
        "directions, 2 the shape of neighbourhoods; more is slower.",
    )
    iterations: int = setting(
        3, label="Iterations", low=1, high=8,
        help="Rounds of messages between neighbours, usually 2 to 4.",
    )
    basis: int = setting(
        32, label="Radial basis", low=2, high=128,
        help="Radial basis functions, which resolve a distance; usually 8 to 32.",
    )
    cutoff: float = setting(
        3.0, label="Cutoff", unit="Å", low=0.5, high=50, step=0.5,
        help="Distance beyond which two atoms do not see each other, usually 3 to 6 Å.",
    )


@dataclasses.dataclass(frozen=True)
class TrainSettings(Settings):
    """How to train."""

    FIELDS: ClassVar[str] = "the settings of a training have the fields"

    epochs: int = setting(
        100, label="Epochs", low=1, high=10**9, help="Passes over the training frames."
    )
    batch_size: int = setting(
        30, label="Batch size", low=1, high=10**6,
        help="Frames of one step of the optimiser, usually 5 to 50.",
    )
    learning_rate: float = setting(
        0.01, label="Learning rate", above=0, high=1, step=0.001,
        help="Highest learning rate of Adam, usually 0.001 to 0.01; too high a rate diverges.",
    )
    forces_weight: float = setting(
        1.0, label="Weight of forces", low=0, high=1e9,
        help="Weight of the force error (eV/Å)² against the energy error (eV)² in the loss; "
        "usually 1 to 100.",
    )
    schedule: Literal["anneal", "cosine", "constant"] = setting(
        "anneal", label="Learning rate over time",
        help="Learning rate over time: anneal holds it for 60 % of the epochs, then lowers it to a "
        "hundredth; cosine climbs for a hundredth of the steps, then falls to a thousandth, for "
        "long trainings; constant is the report's, and ends with a noisier network.",
    )
    average: float = setting(
        0.0, label="Weight averaging (EMA)", low=0, below=1, step=0.001, advanced=True, later=True,
        help="Exponential moving average of the weights: the share that a step leaves of it. 0 "
        "keeps the last weights; 0.99 to 0.999 take out the noise of small batches.",
    )
    clip: float = setting(
        0.0, label="Gradient clipping", low=0, high=1e9, step=0.5, advanced=True, later=True,
        help="Gradient clipping, as a multiple of the gradient's usual length (a moving average); "
        "0 never clips. 1.5 to 3 keep one odd batch from throwing a fast training off its path.",
    )
    sharpness_radius: float = setting(
        0.0, label="Sharpness radius", low=0, high=1e6, step=0.01, advanced=True, later=True,
        help="Step uphill before every gradient, which looks for flat minima (sharpness-aware "
        "minimisation) and doubles the time; in the norm of all weights, usually 0.01 to 0.1; 0 is "
        "off.",
    )
    patience: int | None = setting(
        None, label="Patience", unit="epochs", low=1, high=10**9, unset="never", advanced=True,
        help="Stop early, after so many epochs without a better validation loss; usually 20 to "
        "100.",
    )
    seed: int = setting(
        0, label="Seed", low=0, high=MOST_SEED, advanced=True,
        help="Seed of the split, of the first weights and of the order of the frames.",
    )


@dataclasses.dataclass(frozen=True)
class TutorialSettings(Settings):
    """What the parameter file of the E3x tutorial does not say of itself."""

    cutoff: float = like(
        ModelConfig, "cutoff", 5.0, required=True,
        help="Cutoff that the network was trained with; the tutorial's is 5 Å.",
    )
    energy_unit: Literal["eV", "kcal/mol", "hartree"] = setting(
        "eV", label="Energies in training", flag="--units", required=True,
        help="Unit of the energies that the network was trained on.",
    )
    mean_energy: float = setting(
        0.0, label="Mean energy", low=-1e9, high=1e9,
        help="Mean that was subtracted from the energies, in their unit; without it energies are "
        "right up to a constant.",
    )
