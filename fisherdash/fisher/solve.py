"""From a checkpoint and data to a checkpoint with a re-fitted head, and a verdict on it.

The frames are divided in three at random: most are fitted, some choose the ridge, and the rest,
which neither has seen, say how good the result is. With a ridge given by the user the second
share joins the third. The Laplacians are summed along with everything else, so that every re-fit
comes with a test of the Boltzmann hypothesis on the same frames.
"""

import dataclasses
import threading
from collections.abc import Callable

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.diagnostics import GROUPS, Boltzmann, boltzmann_test
from fisherdash.fisher.moments import Moments, accumulate_groups
from fisherdash.fisher.refit import Prepared, Refit, divide
from fisherdash.fisher.ridge import Choice, choose
from fisherdash.fisher.stability import StabilityCheck, candidates, check_stability
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.settings import Options

HELD_OUT_GROUPS = 10
Report = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""


def solve(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: Options | None = None,
    *,
    cancel: threading.Event | None = None,
    progress: Report | None = None,
) -> Refit:
    """Re-fits the head of ``checkpoint`` to ``dataset``.

    Args:
        checkpoint: the model; its head is the centre of the ridge.
        dataset: frames with forces.
        options: of the re-fit.
        cancel: set it to stop.
        progress: called with the stage ("solving" or "checking stability") and its share done.

    Raises:
        InputError: for too few frames, an unknown element, the Laplacian way without a
            temperature, a rule that needs forces without them, or when cancelled.
    """
    options = options or Options()
    prepared = prepare(checkpoint, dataset, options, cancel=cancel, progress=progress)
    if not isinstance(options.ridge, str):
        return prepared.refit(Choice(float(options.ridge), "given"))
    choice = choose(
        options.ridge,
        prepared.path,
        prepared.problem,
        [prepared.equations_of(group) for group in prepared.held_out],
        prepared.start.head,
        options.seed,
    )
    if options.ridge != "stable":
        return prepared.refit(choice)
    check = try_heads(prepared, choice.ridge, cancel=cancel, progress=progress)
    return prepared.refit(dataclasses.replace(choice, ridge=check.ridge), check)


def prepare(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: Options,
    *,
    cancel: threading.Event | None = None,
    progress: Report | None = None,
) -> Prepared:
    """The pass over the data; arguments and errors as for :func:`solve`."""
    temperature = dataset.temperature if options.temperature is None else options.temperature
    if options.method == "laplacian" and temperature is None:
        raise InputError(
            "the Laplacian way needs the temperature of the frames, which these data do not give; "
            "give it in K"
        )
    checkpoint.check_elements(dataset.atomic_numbers)
    start = checkpoint
    if options.head == "by element":
        start = checkpoint.by_element(map(int, dataset.atomic_numbers))
    division = divide(dataset, options)
    total = len(division.fit) + len(division.ridge)

    def sums(part: Dataset, done: int, groups: int) -> tuple[Moments, ...]:
        def report(frames: int, _: int) -> None:
            if progress is not None:
                progress("solving", (done + frames) / total)

        return accumulate_groups(
            start,
            part,
            groups=groups,
            laplacian=options.laplacians,  # of the held-out frames too: one program to compile
            probes=options.probes,
            seed=options.seed + done,
            precision=options.precision,
            cancel=cancel,
            progress=report,
        )

    groups = sums(division.fit, 0, GROUPS)
    held_out = sums(division.ridge, len(division.fit), HELD_OUT_GROUPS)
    return Prepared(
        checkpoint=checkpoint,
        start=start,
        dataset=dataset,
        options=options,
        temperature=temperature,
        division=division,
        groups=groups,
        held_out=held_out,
        boltzmann=_test(groups, start, temperature, options.seed),
    )


def try_heads(
    prepared: Prepared,
    best: float,
    *,
    cancel: threading.Event | None = None,
    progress: Report | None = None,
) -> StabilityCheck:
    """Short dynamics of points of the path from ``best`` on, beside the default head."""
    settings = prepared.options.stability
    points = candidates(prepared.path, best, settings.points)
    return check_stability(
        {point.ridge: prepared.checkpoint_at(point.ridge, "stable") for point in points},
        {point.ridge: point.divergence for point in points},
        prepared.checkpoint,
        prepared.dataset,
        settings,
        cancel=cancel,
        progress=None if progress is None else lambda share: progress("checking stability", share),
    )


def _test(
    groups: tuple[Moments, ...], start: Checkpoint, temperature: float | None, seed: int
) -> Boltzmann | None:
    """None where an untrained network has no curvature to measure a temperature with."""
    if len(groups) < GROUPS or not np.any(start.head):
        return None
    if not all(group.laplacian is not None and np.any(group.laplacian) for group in groups):
        return None
    return boltzmann_test(groups, start.head, temperature, seed)
