"""Positions of all living replicas at some frames of a run, each file read once."""

import numpy as np

from fisherdash.runs.reading import Run

MOST = 120
"""Frames that are looked at."""


def living_positions(run: Run, most: int = MOST) -> dict[str, np.ndarray]:
    """For each head by name, (n, N, 3) Å: every replica alive at evenly spaced frames.

    The first frame, which all heads share, is left out. InputError when a file is damaged.
    """
    now, timestep = run.now, float(run.header.settings["timestep"])
    indices = np.unique(np.linspace(1, max(1, len(now.times) - 1), most).round().astype(int))
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
