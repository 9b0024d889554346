"""What is read and computed from recorded runs.

Forces along one replica by a head and by another one, with error bars; survivors' positions and
velocities, and their energies by the reference; extended XYZ; the same run with a finer step.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.statistics import evenly_spaced
from fisherdash.text import duration
from fisherdash.workspace import Run, RunHeader, estimates, listing, runs

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

MOST_FRAMES = 192
"""Frames of a trajectory with error bars: a second's work on two cores."""
MOST_SECONDS = 4 * 3600.0
"""By the careful rule of estimates, many times what it takes: a page's values have one queue for
all users, where nothing may hold the others up for long."""


def error_bars(
    model: "Checkpoint", run: Run, heads: Sequence[int], replica: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Error bars of the forces along one replica of a run, from a re-fitted head's covariance.

    Returns the times of at most :data:`MOST_FRAMES` evenly spaced frames, fs; and for each head the
    root-mean-square error bar of the forces at each of them, eV/Å, NaN after a failure.
    InputError where it would take too long.
    """
    from fisherdash.fisher import force_stderr

    frames, numbers = len(run.times), np.array(run.header.atomic_numbers)
    chosen = evenly_spaced(frames, MOST_FRAMES)
    directions = min(model.potential.num_features, 3 * len(numbers))
    _check([model] * len(heads) * directions, len(numbers), len(chosen))
    surviving = run.trajectories().surviving[:, replica][:, chosen]
    found = []
    for head in heads:
        bars, before = np.full(len(chosen), np.nan), surviving[head]
        if before.any():
            stderr = force_stderr(model, numbers, run.frames(head, replica, chosen[before]))
            bars[before] = np.sqrt(np.mean(stderr**2, axis=(1, 2)))
        found.append(bars)
    return run.times[chosen], found


def by_two_heads(
    run: Run, heads: Sequence[int], replica: int, frames: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Forces along one replica of some heads, by the head itself and by another one of the run.

    The others are held against the first head, which is held against the second; None where a run
    has one head.

    Args: frames: (F,) of the record.
    Returns: for each of ``heads`` both forces, (F, N, 3) eV/Å, NaN after the failure.
    Raises: InputError where the run does not hold its models, or it would take too long.
    """
    from fisherdash.potentials.evaluate import predict

    models = list(runs.kept_models(run.folder, run.header).values())
    held = [models[head] for head in heads] + [models[0] if head else models[-1] for head in heads]
    _check(held, run.header.num_atoms, len(frames))
    surviving, found = run.trajectories().surviving[:, replica][:, frames], []
    for head in heads:
        positions = run.frames(head, replica, frames)
        # The first frame after a failure is shown too, if it is one.
        shown = np.isfinite(positions).all(axis=(1, 2))
        shown &= surviving[head] | (np.arange(len(frames)) == surviving[head].sum())
        both = []
        other = 0 if head else 1
        for model in [models[head], *models[other : other + 1]]:
            forces = np.full(positions.shape, np.nan)
            if shown.any():
                empty = np.zeros_like(positions[shown])
                numbers = np.array(run.header.atomic_numbers)
                data = Dataset(positions[shown], empty[:, 0, 0], empty, numbers)
                forces[shown] = predict(model, data)[1]
            both.append(forces)
        found.append((both[0], both[1] if len(both) > 1 else None))
    return found


def _check(models: "Sequence[Checkpoint]", atoms: int, frames: int) -> None:
    """InputError where the forces of so many frames by each of the models take too long."""
    networks = [estimates.Network.of(model) for model in models]
    seconds = estimates.evaluate(networks, atoms, frames).work
    if seconds > MOST_SECONDS:
        raise InputError(
            f"forces of {frames} frames of {atoms} atoms would take about {duration(seconds)} by a "
            f"careful rule, and a page computes what takes {duration(MOST_SECONDS)} at most"
        )


_SAME = ("replicas", "temperature", "seed", "start")


def finer_run(run: Run, cause: str) -> Path | None:
    """The folder of the newest run like ``run`` with less of ``cause``; None if there is none.

    The cause is "time step" (half of it) or "round-off" (double precision).
    """
    for entry in listing.entries("runs"):
        sound = entry.problem is None and entry.folder != run.folder
        if sound and is_finer(run.header, RunHeader.read(entry.folder)[0], cause):
            return entry.folder
    return None


def is_finer(header: RunHeader, other: RunHeader, cause: str) -> bool:
    """Whether ``other`` began from the same states and differs in nothing but ``cause``."""
    mine, theirs = header.settings, other.settings
    same = all(mine.get(name) == theirs.get(name) for name in _SAME)
    sources = [
        [facts.get("fingerprint") for facts in (one.dataset, *one.checkpoints)]
        for one in (header, other)
    ]
    if not same or sources[0] != sources[1]:
        return False
    timestep, precisions = float(mine["timestep"]), (mine.get("precision"), theirs.get("precision"))
    if cause == "time step":
        return timestep == 2 * float(theirs["timestep"]) and precisions[0] == precisions[1]
    return timestep == float(theirs["timestep"]) and precisions == ("float32", "float64")


MOST = 120
"""Frames that are looked at."""

MOST_EVEN = 4096
"""Frames of a spectrum: 20 ps of frames 5 fs apart, some 60 MB of 128 small molecules."""


MOST_ATOMS = 20_000_000
"""Atoms in all the frames of a head that are looked at together, 240 MB; of a run with more,
evenly spaced replicas are taken."""


def survivor_positions(run: Run, most: int = MOST, first: int = 1) -> dict[str, np.ndarray]:
    """Positions (n, N, 3) Å by head: of all surviving replicas at evenly spaced frames.

    Frames count from ``first`` on: unless told otherwise, the first one, which all heads share, is
    left out. InputError when a file is damaged.
    """
    traj = run.trajectories()
    surviving, indices = traj.surviving, evenly_spaced(len(traj.times), most, first)
    replicas = _some_replicas(run, len(indices))
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    for wanted, block, places in run.blocks(indices):
        for frame, place in zip(indices[wanted], places, strict=True):
            for head, name in enumerate(run.header.names):
                left = replicas[surviving[head, replicas, frame]]
                kept[name].append(block[head, left, place])
    empty = np.zeros((0, run.header.num_atoms, 3), np.float32)
    return {name: np.concatenate([empty, *blocks]) for name, blocks in kept.items()}


def _some_replicas(run: Run, frames: int) -> np.ndarray:
    """Indices of the replicas whose frames are looked at, so many of each: all but in huge runs."""
    most = MOST_ATOMS // max(1, frames * run.header.num_atoms)
    return evenly_spaced(run.header.shape[1], max(1, most))


JUDGED = 32
"""Survivors of each head whose last frames are given to the reference potential, at most."""


def judge_survivors(run: Run, data: Dataset, calculator: str | None = None) -> None:
    """Keep with a run the reference energies of its survivors' last frames.

    The potential is the one that made the data, or the ASE calculator ``module:object``.

    Raises:
        InputError: for data of another molecule, without a known potential, or of another level of
            theory than the calculator's, and for a run without frames.
    """
    from fisherdash.reference import energy_deviations, labeller_of

    if not len(run.times):
        raise InputError(f"the run {run.id!r} has no frames yet")
    if tuple(data.atomic_numbers.tolist()) != run.header.atomic_numbers:
        raise InputError(f"the run {run.id!r} is of another molecule than the data {data.formula}")
    labeller = labeller_of(data, calculator)
    block = run.block(len(run.now.ends) - 1)[:, :, -1]
    judged = np.zeros(run.header.shape, bool)
    for head, survivors in enumerate(run.trajectories().survivors):
        which = np.flatnonzero(survivors)
        if len(which):
            judged[head, which[evenly_spaced(len(which), JUDGED)]] = True
    found = np.full(run.header.shape, np.nan)
    found[judged] = energy_deviations(labeller, data, block[judged])
    run.keep_reference(found)


def last_velocities(run: Run, most: int = MOST_EVEN) -> tuple[dict[str, np.ndarray], float]:
    """Velocities at the last evenly spaced frames of a run, for spectra.

    Returns:
        For each head by name, (n, K, N, 3) Å/fs of the replicas that survive the last of the K
        frames, of which there are at most ``most``; and the time between two of them, fs.

    Raises:
        InputError: if a file is damaged, or there are fewer than two frames.
    """
    traj, settings = run.trajectories(), run.header.settings
    spacing = float(settings["record_every"]) * float(settings["timestep"])
    # The last step is recorded too, which may come sooner than the others.
    late = traj.times - spacing * np.arange(len(traj.times))
    even = np.flatnonzero(np.abs(late) < 1e-3 * spacing)[-most:]
    if len(even) < 2:
        raise InputError(f"the run has {len(even)} evenly spaced frames; a spectrum needs many")
    replicas = _some_replicas(run, len(even))
    survives = traj.surviving[:, replicas, even[-1]]
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    for _, block, places in run.blocks(even, "velocities"):
        for head, name in enumerate(run.header.names):
            kept[name].append(block[head, replicas[survives[head]]][:, places])
    return {name: np.concatenate(blocks, axis=1) for name, blocks in kept.items()}, spacing


BLOCK = 512
"""Frames that are read and written together."""


def extended_xyz(run: Run, head: int, replica: int) -> Iterator[bytes]:
    """The recorded frames of one replica of one head as extended XYZ, in blocks of text.

    A failed trajectory ends with the first frame after its failure, which shows what happened.

    Each frame carries its time, its energies and, per atom, position and velocity (Å/fs):
    ``Properties=species:S:1:pos:R:3:velo:R:3``. That last frame of a failed replica
    says ``alive=F`` and has no energies. Format: https://github.com/libAtoms/extxyz.

    Raises InputError when the run has no such trajectory or no frames yet.
    """
    heads, replicas = run.header.shape
    if not (0 <= head < heads and 0 <= replica < replicas):
        raise InputError(
            f"the run has {heads} heads and {replicas} replicas, "
            f"asked for replica {replica + 1} of head {head + 1}"
        )
    traj = run.trajectories()
    times, potential, kinetic = traj.times, traj.potential, traj.kinetic
    if not len(times):
        raise InputError("the run has no frames yet")
    name = " ".join(run.header.names[head].split()).replace('"', "'").replace("\\", "/")
    surviving = traj.surviving[head, replica]
    end = min(int(surviving.sum()) + 1, len(times))
    for first in range(0, end, BLOCK):
        indices = np.arange(first, min(first + BLOCK, end))
        positions = run.frames(head, replica, indices)
        velocities = run.frames(head, replica, indices, "velocities")
        text = io.StringIO()
        for at, x, v in zip(indices, positions, velocities, strict=True):
            energies = (
                f" potential_eV={potential[head, replica, at]:.10g}"
                f" kinetic_eV={kinetic[head, replica, at]:.10g}"
                if surviving[at]
                else ""
            )
            text.write(
                f"{run.header.num_atoms}\nProperties=species:S:1:pos:R:3:velo:R:3 "
                f'pbc="F F F" head="{name}" replica={replica + 1} time_fs={times[at]:.10g} '
                f"alive={'T' if surviving[at] else 'F'}{energies}\n"
            )
            for symbol, row in zip(run.header.symbols, np.concatenate([x, v], axis=1), strict=True):
                text.write(f"{symbol:2s} " + " ".join(f"{value:.9g}" for value in row) + "\n")
        yield text.getvalue().encode("utf-8", "replace")
