"""One trajectory of a run as extended XYZ, for any other program.

Each frame carries its time, its energies and, per atom, position and velocity:
``Properties=species:S:1:pos:R:3:velo:R:3``. Velocities are in Å/fs. A frame at which the replica
was dead says ``alive=F`` and has no energies. The format is that of
https://github.com/libAtoms/extxyz.
"""

import io
from collections.abc import Iterator

import numpy as np

from fisherdash.errors import InputError
from fisherdash.runs.reading import Run

BLOCK = 512
"""Frames that are read and written together."""


def extended_xyz(run: Run, head: int, replica: int) -> Iterator[bytes]:
    """Every recorded frame of one replica of one head, in blocks of text.

    Raises InputError when the run has no such trajectory or no frames yet.
    """
    heads, replicas = run.header.shape
    if not (0 <= head < heads and 0 <= replica < replicas):
        raise InputError(
            f"the run has {heads} heads and {replicas} replicas, "
            f"asked for replica {replica + 1} of head {head + 1}"
        )
    times, potential, kinetic = run.times, run.potential, run.kinetic
    if not len(times):
        raise InputError("the run has no frames yet")
    name = " ".join(run.header.names[head].split()).replace('"', "'").replace("\\", "/")
    death, timestep = int(run.died_step[head, replica]), float(run.header.settings["timestep"])
    for first in range(0, len(times), BLOCK):
        indices = np.arange(first, min(first + BLOCK, len(times)))
        positions = run.frames(head, replica, indices)
        velocities = run.frames(head, replica, indices, "velocities")
        text = io.StringIO()
        for at, x, v in zip(indices, positions, velocities, strict=True):
            alive = death < 0 or times[at] < (death - 0.5) * timestep
            energies = (
                f" potential_eV={potential[head, replica, at]:.10g}"
                f" kinetic_eV={kinetic[head, replica, at]:.10g}"
                if alive
                else ""
            )
            text.write(
                f"{run.header.num_atoms}\nProperties=species:S:1:pos:R:3:velo:R:3 "
                f'pbc="F F F" head="{name}" replica={replica + 1} time_fs={times[at]:.10g} '
                f"alive={'T' if alive else 'F'}{energies}\n"
            )
            for symbol, row in zip(run.header.symbols, np.concatenate([x, v], axis=1), strict=True):
                text.write(f"{symbol:2s} " + " ".join(f"{value:.9g}" for value in row) + "\n")
        yield text.getvalue().encode()
