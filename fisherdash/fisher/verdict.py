"""What a re-fit did, in numbers with intervals and in plain words."""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.fisher.moments import Moments
from fisherdash.fisher.ridge import Spectrum

RESAMPLES = 2000
FEW_FRAMES = 50


@dataclasses.dataclass(frozen=True)
class Change:
    """Relative change of the force RMSE, fisher/default − 1, with a 95 % interval."""

    value: float
    low: float
    high: float


def paired_change(
    default: Float[np.ndarray, " frames"], fisher: Float[np.ndarray, " frames"], seed: int
) -> Change:
    """Change of the root-mean-square error from the mean square errors of the same frames.

    The interval is the percentile bootstrap over frames, both heads resampled together.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(default), size=(RESAMPLES, len(default)))
    floor = np.finfo(float).tiny  # a head that makes no error at all has no relative change

    def ratio(f: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(f, floor) / np.maximum(d, floor)) - 1

    low, high = np.percentile(
        ratio(fisher[chosen].mean(axis=1), default[chosen].mean(axis=1)), [2.5, 97.5]
    )
    return Change(float(ratio(fisher.mean(), default.mean())), float(low), float(high))


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %".replace("-", "\N{MINUS SIGN}")


def verdict(change: Change, norm: dict[str, float], frames: int) -> str:
    """One sentence or two: what happened to the force error and the head, what is not known."""
    interval = f"95 % interval {_percent(change.low)} to {_percent(change.high)}, {frames} frames"
    if change.high < 0:
        forces = f"Held-out force error {_percent(change.value)} ({interval})"
    elif change.low > 0:
        forces = f"The re-fit made held-out forces worse: {_percent(change.value)} ({interval})"
    else:
        forces = f"No measurable change of held-out forces: {_percent(change.value)} ({interval})"
    growth = norm["fisher"] / norm["default"] if norm["default"] > 0 else float("inf")
    return (
        f"{forces}; head norm ×{growth:.3g}. Whether dynamics became more stable is not tested "
        "yet: run MD with both heads."
    )


def warnings_of(
    checkpoint: Checkpoint,
    dataset: Dataset,
    fit: Moments,
    spec: Spectrum,
    norm: dict[str, float],
    frames: int,
) -> tuple[str, ...]:
    """What should be known before the result is believed."""
    found = []
    different = len({frame.tobytes() for frame in dataset.positions})
    if different < len(dataset):
        found.append(
            f"Only {different} of the {len(dataset)} frames are different: repeated frames may be "
            "in the fit and held out at once, and errors look smaller than they are."
        )
    if not np.any(dataset.forces):
        found.append("All forces are zero: the fitted head makes a flat energy surface.")
    size = len(spec.values)
    if fit.frames * fit.components < size:
        found.append(
            f"{fit.frames} frames give {fit.frames * fit.components} force components for {size} "
            "weights: the fit is not determined by the data."
        )
    if spec.rank < size:
        found.append(
            f"{size - spec.rank} of {size} directions of the head change no force at all; "
            "they keep their default value."
        )
    if norm["default"] > 0 and norm["fisher"] > 5 * norm["default"]:
        found.append(
            f"The head grew from {norm['default']:.3g} to {norm['fisher']:.3g} eV. Heads that grow "
            "this much have made dynamics less stable while lowering the force error: check by MD, "
            "or use a larger ridge."
        )
    if frames < FEW_FRAMES:
        found.append(
            f"Only {frames} held-out frames: errors and their change are uncertain; "
            f"{FEW_FRAMES} or more are better."
        )
    trained_on = checkpoint.provenance.get("frames")
    if checkpoint.provenance.get("made_by") == "train" and trained_on:
        found.append(
            f"The body was trained on {trained_on} frames of {checkpoint.provenance.get('data')}. "
            "Where these data contain those frames, both heads look better here than on new ones."
        )
    return tuple(found)
