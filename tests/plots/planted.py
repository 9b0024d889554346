"""Trajectories with planted drift and failures, to be drawn."""

import numpy as np

from fisherdash.analysis import Trajectories


def trajectories(frames=40, replicas=5, deaths=((1, 2, 30),)):
    """Two heads; total energy drifts by 1 and 2 meV per atom and frame, plus a planted offset."""
    times = 10.0 * np.arange(frames)
    potential = np.zeros((2, replicas, frames))
    potential[0] += 3e-3 * np.arange(frames) + 7.0
    potential[1] += 6e-3 * np.arange(frames) - 2.0
    died = np.full((2, replicas), -1)
    for head, replica, frame in deaths:
        died[head, replica] = 20 * frame  # a time step of 0.5 fs
        potential[head, replica, frame:] = np.nan
    return Trajectories(
        names=("a", "b"),
        times=times,
        potential=potential,
        kinetic=np.where(np.isnan(potential), np.nan, 0.1),
        failed_step=died,
        timestep=0.5,
        num_atoms=3,
        temperature=300.0,
    )
