"""From a checkpoint and data to a checkpoint with a re-fitted head, and a verdict on it.

The frames are divided in three at random: most are fitted, some choose the ridge, and the rest,
which neither has seen, say how good the result is. With a ridge given by the user the second
share joins the third.
"""

import dataclasses
import math
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from fisherdash.checkpoint import Checkpoint, energy_reference
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.evaluate import predict
from fisherdash.fisher.moments import Moments, accumulate
from fisherdash.fisher.ridge import RidgePoint, head_at, ridge_path, spectrum
from fisherdash.fisher.verdict import Change, paired_change, verdict, warnings_of

MIN_FRAMES = 10


@dataclasses.dataclass(frozen=True)
class Refit:
    """What a re-fit gave.

    Dicts have the keys ``default`` and ``fisher``; divergence, force and energy errors are those
    of the frames held out for the report.

    Attributes:
        checkpoint: the same body with the new head and the new energy constant.
        ridge: λ over the largest eigenvalue of T.
        condition_number: of T; infinite if it is singular.
        effective_rank: number of directions that the data decide at this ridge.
        head_norm: |θ| in eV.
        fisher_divergence: ½ E|∇U_θ − ∇U|² in eV²/Å²; times β² it is the divergence in Å⁻².
        force_rmse: in eV/Å.
        energy_rmse: in eV.
        force_change: relative change of the force error with its interval.
        frames_fit, frames_ridge, frames_report: how the frames were divided.
        eigenvalues: of T, falling, Å⁻².
        path: the ridge path, measured on the frames that chose the ridge.
        verdict: plain words.
        warnings: what the user should know before believing it.
    """

    checkpoint: Checkpoint
    ridge: float
    condition_number: float
    effective_rank: float
    head_norm: dict[str, float]
    fisher_divergence: dict[str, float]
    force_rmse: dict[str, float]
    energy_rmse: dict[str, float]
    force_change: Change
    frames_fit: int
    frames_ridge: int
    frames_report: int
    eigenvalues: tuple[float, ...]
    path: tuple[RidgePoint, ...]
    verdict: str
    warnings: tuple[str, ...]


def solve(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    ridge: Literal["auto"] | float = "auto",
    holdout: float = 0.2,
    seed: int = 0,
    precision: Literal["float32", "float64"] = "float32",
    cancel: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refit:
    """Re-fits the head of ``checkpoint`` to the forces of ``dataset``.

    Args:
        checkpoint: the model; its head is the centre of the ridge.
        dataset: frames with forces.
        ridge: λ over the largest eigenvalue of T, or "auto" for the one with the lowest Fisher
            divergence on frames that were not fitted.
        holdout: share of the frames that is not fitted.
        seed: of the division of the frames.
        precision: of the network; all sums are float64.
        cancel: set it to stop.
        progress: called with frames done and their total.

    Raises:
        InputError: for too few frames, a share or a ridge out of range, an unknown element, or
            when cancelled.
    """
    if ridge != "auto" and not (isinstance(ridge, (int, float)) and 0 <= ridge < math.inf):
        raise InputError(f'ridge must be "auto" or a number from 0, received {ridge!r}')
    fit_set, ridge_set, report_set = _divide(dataset, holdout, seed, ridge == "auto")
    total = len(fit_set) + len(ridge_set)

    def moments_of(part: Dataset, done: int) -> Moments:
        def report(frames: int, _: int) -> None:
            if progress is not None:
                progress(done + frames, total)

        return accumulate(checkpoint, part, precision=precision, cancel=cancel, progress=report)

    fit = moments_of(fit_set, 0)
    chooser = moments_of(ridge_set, len(fit_set))
    default = checkpoint.head
    path = ridge_path(fit, chooser, default)
    value = min(path, key=lambda point: point.divergence).ridge if ridge == "auto" else float(ridge)
    spec = spectrum(fit)
    head = head_at(value, fit, default, spec)
    refit = checkpoint.with_head(
        head,
        energy_reference(fit.constant(head), dataset.atomic_numbers),
        name=f"{checkpoint.name}-fisher",
        provenance={
            "made_by": "solve",
            "method": "forces",
            "ridge": value,
            "ridge_rule": "held-out divergence" if ridge == "auto" else "given",
            "data": dataset.source,
            "data_fingerprint": dataset.fingerprint,
            "molecule": dataset.formula,
            "frames_fit": len(fit_set),
            "holdout": holdout,
            "seed": seed,
        },
    )
    errors = {"default": predict(checkpoint, report_set), "fisher": predict(refit, report_set)}
    squared = {
        name: np.mean((forces - report_set.forces) ** 2, axis=(1, 2))
        for name, (_, forces) in errors.items()
    }
    half = 1.5 * dataset.num_atoms
    change = paired_change(squared["default"], squared["fisher"], seed)
    norm = {"default": float(np.linalg.norm(default)), "fisher": float(np.linalg.norm(head))}
    return Refit(
        checkpoint=refit,
        ridge=value,
        condition_number=spec.condition_number,
        effective_rank=spec.effective_dof(value),
        head_norm=norm,
        fisher_divergence={k: float(half * v.mean()) for k, v in squared.items()},
        force_rmse={k: float(np.sqrt(v.mean())) for k, v in squared.items()},
        energy_rmse={
            name: float(np.sqrt(np.mean((energies - report_set.energies) ** 2)))
            for name, (energies, _) in errors.items()
        },
        force_change=change,
        frames_fit=len(fit_set),
        frames_ridge=len(ridge_set) if ridge == "auto" else 0,
        frames_report=len(report_set),
        eigenvalues=tuple(float(v) for v in spec.values),
        path=path,
        verdict=verdict(change, norm, len(report_set)),
        warnings=warnings_of(checkpoint, fit, spec, norm, len(report_set)),
    )


def _divide(
    dataset: Dataset, holdout: float, seed: int, choose: bool
) -> tuple[Dataset, Dataset, Dataset]:
    """Frames to fit, to choose the ridge, and to report on; the last two coincide if not chosen."""
    if not 0 < holdout < 1:
        raise InputError(f"holdout must be a share between 0 and 1, received {holdout}")
    if len(dataset) < MIN_FRAMES:
        raise InputError(
            f"a re-fit needs at least {MIN_FRAMES} frames, part of which are held out; "
            f"received {len(dataset)}"
        )
    order = np.random.default_rng(seed).permutation(len(dataset))
    held = min(max(2, round(holdout * len(dataset))), len(dataset) - 1)
    fit, rest = order[held:], order[:held]
    if not choose:
        return dataset.subset(fit), dataset.subset(rest), dataset.subset(rest)
    half = held // 2
    return dataset.subset(fit), dataset.subset(rest[:half]), dataset.subset(rest[half:])
