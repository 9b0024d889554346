"""What a re-fit did, in numbers with intervals and in plain words."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.descent import Descent
from fisherdash.fisher.kl import Divergence
from fisherdash.fisher.stability import StabilityCheck

if TYPE_CHECKING:
    from fisherdash.fisher.refit import Prepared

RESAMPLES = 2000
FEW_FRAMES = 50
WIDE = 0.1
GROWN = 5.0
ANOTHER_ZERO = 1.0
"""Mean error of the energy in eV that no sound model of the same data makes."""


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


def verdict(
    change: Change, norm: dict[str, float], frames: int, stability: StabilityCheck | None = None
) -> str:
    """One sentence or two: what happened to the force error, the head and survival."""
    interval = f"95 % interval {_percent(change.low)} to {_percent(change.high)}, {frames} frames"
    if stability is not None and not stability.confirmation:
        return f"{stability.sentence}."
    if change.high < 0:
        forces = f"Held-out force error {_percent(change.value)} ({interval})"
    elif change.low > 0:
        forces = f"The re-fit made held-out forces worse: {_percent(change.value)} ({interval})"
    else:
        forces = f"No measurable change of held-out forces: {_percent(change.value)} ({interval})"
    growth = norm["fisher"] / norm["default"] if norm["default"] > 0 else float("inf")
    survival = "survival not tested: run the stability check"
    if stability is not None:
        survival = stability.sentence
    return f"{forces}; head norm ×{growth:.3g}; {survival}."


def warnings_of(
    prepared: "Prepared",
    norm: dict[str, float],
    change: Change,
    kl: dict[str, Divergence] | None,
    descent: Descent | None,
    stability: StabilityCheck | None,
) -> tuple[str, ...]:
    """What should be known before the result is believed."""
    return (
        *_about_data(prepared),
        *_about_head(prepared, norm, descent, stability),
        *_about_errors(prepared, change, kl),
    )


def _about_data(prepared: "Prepared") -> Iterator[str]:
    dataset, test = prepared.dataset, prepared.boltzmann
    different = len({frame.tobytes() for frame in dataset.positions})
    if different < len(dataset):
        yield (
            f"Only {different} of the {len(dataset)} frames are different: repeated frames may be "
            "in the fit and held out at once, and errors look smaller than they are."
        )
    if not np.any(dataset.forces):
        yield "All forces are zero: the fitted head makes a flat energy surface."
    taught = prepared.checkpoint.provenance.get("molecule")
    if taught and taught != dataset.formula:
        yield (
            f"The network was trained on {taught} and these frames are {dataset.formula}: another "
            "last layer does not make it a model of this molecule, whatever the errors below say."
        )
    if test is not None and not test.consistent:
        yield test.verdict + (
            " The fit without forces relies on a Boltzmann sample; its head carries that error."
            if prepared.options.method == "laplacian"
            else " The fit from forces does not rely on it; everything that uses the temperature "
            "does, the KL divergence among it."
        )


def _about_head(
    prepared: "Prepared",
    norm: dict[str, float],
    descent: Descent | None,
    stability: StabilityCheck | None,
) -> Iterator[str]:
    fit, spec = prepared.fit, prepared.problem.spectrum
    size = len(spec.values)
    if fit.frames * fit.components < size:
        yield (
            f"{fit.frames} frames give {fit.frames * fit.components} force components for {size} "
            "weights: the fit is not determined by the data."
        )
    if spec.rank < size:
        yield (
            f"{size - spec.rank} of {size} directions of the head change no force at all; "
            "they keep their default value."
        )
    if norm["default"] > 0 and norm["fisher"] > GROWN * norm["default"] and stability is None:
        yield (
            f"The head grew from {norm['default']:.3g} to {norm['fisher']:.3g} eV. Heads that grow "
            "this much have made dynamics less stable while lowering the force error: let short "
            "dynamics choose the ridge (“stable dynamics”, --ridge stable), or use a larger one."
        )
    if stability is not None and stability.confirmation and not stability.confirmed:
        yield (
            "The chosen head lost more replicas than the default when both ran again from new "
            "initial states: its stability is not established. Use more replicas, or keep the "
            "default head."
        )
    if descent is not None and not descent.converged:
        yield (
            f"Gradient descent has not converged after {descent.steps[-1]:,} steps; it is still "
            f"{descent.distance[-1]:.1%} of |θ*| away from the closed form. A larger ridge helps."
        )


def _about_errors(
    prepared: "Prepared", change: Change, kl: dict[str, Divergence] | None
) -> Iterator[str]:
    frames, checkpoint = len(prepared.division.report), prepared.checkpoint
    few = frames < FEW_FRAMES
    if few or change.high - change.low > WIDE:
        yield (
            f"{'Only ' if few else ''}{frames} held-out frames leave the change of the force error "
            f"uncertain by ±{100 * (change.high - change.low) / 2:.2g} percentage points; "
            f"{'at least ' + str(FEW_FRAMES) + ' are better.' if few else 'hold out more.'}"
        )
    energies, _ = prepared.default_errors
    off = energies - prepared.division.report.energies
    if abs(off.mean()) > ANOTHER_ZERO and abs(off.mean()) > 10 * off.std():
        yield (
            f"The default head's energies lie {off.mean():+.4g} eV off those of the data: another "
            "zero of energy or another level of theory, and its energy error says no more than "
            "that. The re-fit takes the zero of the data."
        )
    if kl is not None and any(item.doubtful for item in kl.values()):
        effective = min(item.effective_frames for item in kl.values())
        yield (
            f"The KL divergence rests on {effective:.1f} effective of {frames} frames: "
            "take it as a lower bound at best."
        )
    trained_on = checkpoint.provenance.get("frames")
    if checkpoint.provenance.get("made_by") == "train" and trained_on:
        yield (
            f"The body was trained on {trained_on} frames of {checkpoint.provenance.get('data')}. "
            "Where these data contain those frames, both heads look better here than on new ones."
        )
