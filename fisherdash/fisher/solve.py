"""From a checkpoint and data to a checkpoint with a re-fitted head, and a verdict on it.

The frames are divided in three at random: most are fitted, some choose the ridge, and the rest,
which neither has seen, say how good the result is. With a ridge given by the user the second
share joins the third. The Laplacians are summed along with everything else, so that every re-fit
comes with a test of the Boltzmann hypothesis on the same frames.
"""

import dataclasses
import functools
import math
import operator
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from fisherdash.checkpoint import Checkpoint, energy_reference
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.evaluate import predict
from fisherdash.fisher.boltzmann import GROUPS, Boltzmann, boltzmann_test
from fisherdash.fisher.descent import Descent, descend
from fisherdash.fisher.kl import Divergence, kl_divergence
from fisherdash.fisher.moments import Moments, accumulate_groups
from fisherdash.fisher.ridge import (
    RidgePoint,
    head_at,
    ridge_path,
    right_hand_side,
    spectrum,
)
from fisherdash.fisher.verdict import Change, paired_change, verdict, warnings_of

Method = Literal["forces", "laplacian", "gradient"]
METHODS: tuple[Method, ...] = ("forces", "laplacian", "gradient")
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
        boltzmann: the test of the hypothesis that the frames are a Boltzmann sample; None if it
            could not be made (too few frames, a head of zero, or not asked for).
        kl: kT·D_KL of both heads from the frames of the report; None without a temperature.
        descent: the path of gradient descent, for that method.
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
    boltzmann: Boltzmann | None
    kl: dict[str, Divergence] | None
    descent: Descent | None
    verdict: str
    warnings: tuple[str, ...]


def solve(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    method: Method = "forces",
    temperature: float | None = None,
    ridge: Literal["auto"] | float = "auto",
    test_boltzmann: bool = True,
    holdout: float = 0.2,
    seed: int = 0,
    precision: Literal["float32", "float64"] = "float32",
    cancel: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refit:
    """Re-fits the head of ``checkpoint`` to ``dataset``.

    Args:
        checkpoint: the model; its head is the centre of the ridge.
        dataset: frames with forces.
        method: "forces" (explicit score matching), "laplacian" (implicit: the fit and the choice
            of the ridge see positions and the temperature, never forces), or "gradient" (descent
            to what "forces" gives in one step, with its path).
        temperature: of the frames in K; None for the data set's own.
        ridge: λ over the largest eigenvalue of T, or "auto" for the one with the lowest Fisher
            divergence on frames that were not fitted.
        test_boltzmann: whether to test the hypothesis, which takes about three times as long as
            the fit; always done with "laplacian", which depends on it.
        holdout: share of the frames that is not fitted.
        seed: of the division of the frames.
        precision: of the network; all sums are float64.
        cancel: set it to stop.
        progress: called with frames done and their total.

    Raises:
        InputError: for too few frames, a share, ridge or temperature out of range, an unknown
            element, the Laplacian way without a temperature, or when cancelled.
    """
    temperature = dataset.temperature if temperature is None else temperature
    _check(method, ridge, temperature)
    fit_set, ridge_set, report_set = _divide(dataset, holdout, seed, ridge == "auto")
    total = len(fit_set) + len(ridge_set)

    def sums(part: Dataset, done: int, groups: int) -> tuple[Moments, ...]:
        def report(frames: int, _: int) -> None:
            if progress is not None:
                progress(done + frames, total)

        return accumulate_groups(
            checkpoint,
            part,
            groups=groups,
            laplacian=method == "laplacian" or test_boltzmann,
            precision=precision,
            cancel=cancel,
            progress=report,
        )

    groups = sums(fit_set, 0, GROUPS)
    fit = functools.reduce(operator.add, groups)
    (chooser,) = sums(ridge_set, len(fit_set), 1)
    heat = temperature if method == "laplacian" else None
    path = ridge_path(fit, chooser, checkpoint.head, heat)
    value = min(path, key=lambda point: point.criterion).ridge if ridge == "auto" else float(ridge)
    spec, target = spectrum(fit), right_hand_side(fit, heat)
    descent = descend(spec, target, checkpoint.head, value) if method == "gradient" else None
    head = descent.head if descent else head_at(value, spec, target, checkpoint.head)
    refit = checkpoint.with_head(
        head,
        energy_reference(fit.constant(head), dataset.atomic_numbers),
        name=f"{checkpoint.name}-fisher",
        provenance={
            "made_by": "solve",
            "method": method,
            "ridge": value,
            "ridge_rule": "held-out divergence" if ridge == "auto" else "given",
            "data": dataset.source,
            "data_fingerprint": dataset.fingerprint,
            "molecule": dataset.formula,
            "temperature_K": temperature,
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
    norm = {
        "default": float(np.linalg.norm(checkpoint.head)),
        "fisher": float(np.linalg.norm(head)),
    }
    # An untrained network has no curvature to measure a temperature with.
    testable = len(groups) == GROUPS and fit.laplacian is not None
    testable = testable and bool(np.any(fit.laplacian)) and norm["default"] > 0
    boltzmann = boltzmann_test(groups, checkpoint.head, temperature, seed) if testable else None
    kl = None
    if temperature is not None:
        kl = {
            name: kl_divergence(energies, report_set.energies, temperature)
            for name, (energies, _) in errors.items()
        }
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
        boltzmann=boltzmann,
        kl=kl,
        descent=descent,
        verdict=verdict(change, norm, len(report_set)),
        warnings=warnings_of(checkpoint, dataset, fit, spec, norm, len(report_set))
        + _doubts(method, boltzmann, kl, descent),
    )


def _check(method: str, ridge: object, temperature: float | None) -> None:
    if method not in METHODS:
        raise InputError(f"method must be one of {METHODS}, received {method!r}")
    if ridge != "auto" and not (isinstance(ridge, (int, float)) and 0 <= ridge < math.inf):
        raise InputError(f'ridge must be "auto" or a number from 0, received {ridge!r}')
    if temperature is not None and not 0 < temperature < math.inf:
        raise InputError(f"temperature must be above 0 K, received {temperature}")
    if method == "laplacian" and temperature is None:
        raise InputError(
            "the Laplacian way needs the temperature of the frames, which these data do not give; "
            "give it in K"
        )


def _doubts(
    method: Method,
    boltzmann: Boltzmann | None,
    kl: dict[str, Divergence] | None,
    descent: Descent | None,
) -> tuple[str, ...]:
    """Warnings that follow from the diagnostics."""
    found = []
    if method == "laplacian" and boltzmann is not None and not boltzmann.consistent:
        found.append(
            f"The fit without forces relies on a Boltzmann sample. {boltzmann.verdict} "
            "Its head carries that error."
        )
    if kl is not None and any(item.doubtful for item in kl.values()):
        few = min(item.effective_frames for item in kl.values())
        frames = next(iter(kl.values())).frames
        found.append(
            f"The KL divergence rests on {few:.1f} effective of {frames} frames: "
            "take it as a lower bound at best."
        )
    if descent is not None and not descent.converged:
        found.append(
            f"Gradient descent has not converged after {descent.steps[-1]:,} steps; it is still "
            f"{descent.distance[-1]:.1%} of |θ*| away from the closed form. A larger ridge helps."
        )
    return tuple(found)


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
    # In the order of time, so that groups of consecutive frames mean something.
    fit, rest = np.sort(order[held:]), order[:held]
    if not choose:
        return dataset.subset(fit), dataset.subset(rest), dataset.subset(rest)
    half = held // 2
    return dataset.subset(fit), dataset.subset(rest[:half]), dataset.subset(rest[half:])
