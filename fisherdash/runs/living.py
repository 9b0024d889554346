"""Positions and velocities of all living replicas at some frames of a run, each file read once."""

import numpy as np

from fisherdash.errors import InputError
from fisherdash.runs.reading import Run

MOST = 120
"""Frames that are looked at."""

MOST_EVEN = 4096
"""Frames of a spectrum: 20 ps of frames 5 fs apart, some 60 MB of 128 small molecules."""


def living_positions(run: Run, most: int = MOST, first: int = 1) -> dict[str, np.ndarray]:
    """For each head by name, (n, N, 3) Å: every replica alive at evenly spaced frames.

    Frames count from ``first`` on: unless told otherwise, the first one, which all heads share, is
    left out. InputError when a file is damaged.
    """
    now, timestep = run.now, float(run.header.settings["timestep"])
    indices = np.unique(
        np.linspace(first, max(first, len(now.times) - 1), most).round().astype(int)
    )
    indices = indices[indices < len(now.times)]
    death = np.where(now.died_step < 0, np.inf, (now.died_step - 0.5) * timestep)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    chunks = np.searchsorted(now.ends, indices, side="right")
    for number in np.unique(chunks):
        begin = now.ends[number - 1] if number else 0
        block = run.block(int(number))
        for at in indices[chunks == number]:
            alive = now.times[at] < death
            for head, name in enumerate(run.header.names):
                kept[name].append(block[head, alive[head], at - begin])
    empty = np.zeros((0, run.header.num_atoms, 3), np.float32)
    return {name: np.concatenate([empty, *blocks]) for name, blocks in kept.items()}


def last_velocities(run: Run, most: int = MOST_EVEN) -> tuple[dict[str, np.ndarray], float]:
    """Velocities at the last evenly spaced frames of a run, for spectra.

    Returns:
        For each head by name, (n, K, N, 3) Å/fs of the replicas alive at the last of the K frames,
        of which there are at most ``most``; and the time between two of them, fs.

    Raises:
        InputError: if a file is damaged, or there are fewer than two frames.
    """
    now, settings = run.now, run.header.settings
    spacing = float(settings["record_every"]) * float(settings["timestep"])
    # The last step is recorded too, which may come sooner than the others.
    late = now.times - spacing * np.arange(len(now.times))
    even = np.flatnonzero(np.abs(late) < 1e-3 * spacing)[-most:]
    if len(even) < 2:
        raise InputError(f"the run has {len(even)} evenly spaced frames; a spectrum needs many")
    death = np.where(now.died_step < 0, np.inf, now.died_step * float(settings["timestep"]))
    alive = death > now.times[even[-1]]
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    chunks = np.searchsorted(now.ends, even, side="right")
    for number in np.unique(chunks):
        begin = now.ends[number - 1] if number else 0
        block = run.block(int(number), "velocities")
        wanted = even[chunks == number] - begin
        for head, name in enumerate(run.header.names):
            kept[name].append(block[head, alive[head]][:, wanted])
    return {name: np.concatenate(blocks, axis=1) for name, blocks in kept.items()}, spacing
