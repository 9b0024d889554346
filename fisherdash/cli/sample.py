"""Make a Boltzmann data set of a small molecule: Langevin dynamics on the GFN2-xTB potential.

The file has every frame within seconds; Ctrl-C keeps those that were made.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import not_negative, output_file, positive, whole
from fisherdash.errors import InputError

HELP = "make a data set of any small molecule"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The molecule, its temperature and how many frames."""
    parser.add_argument("molecule", help="an ASE g2 name (CH3CH2OH) or a structure file")
    parser.add_argument(
        "--temperature",
        type=positive,
        required=True,
        metavar="K",
        help="temperature of the sample, usually 300 to 1000 K",
    )
    parser.add_argument(
        "--frames",
        type=whole(1),
        required=True,
        metavar="M",
        help="number of frames, usually 500 to 2000",
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="file to write")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the dynamics")
    parser.add_argument(
        "--interval-fs", type=positive, default=50.0, help="time from one frame to the next, fs"
    )
    parser.add_argument(
        "--equilibration-ps", type=not_negative, default=5.0, help="time before the first frame, ps"
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Sample, write the file, and describe what is in it."""
    out = output_file(args.out, ".npz", inputs=[args.molecule])
    import numpy as np

    from fisherdash import reference

    atoms = reference.molecule(args.molecule)
    last = None
    with console.stoppable() as cancel:
        reports = reference.sample(
            atoms,
            temperature=args.temperature,
            frames=args.frames,
            seed=args.seed,
            interval_fs=args.interval_fs,
            equilibration_ps=args.equilibration_ps,
        )
        for last in reference.kept(reports, out, cancel):
            console.progress(last.done, last.total, last.stage)
    if last is None or last.so_far is None:
        raise InputError("sampling was stopped before the first frame; nothing was written.")
    data = last.so_far()
    if len(data) < args.frames:
        console.note(f"stopped: {out} has {len(data)} of {args.frames} frames")
    return {
        "frames": len(data),
        "atoms": data.num_atoms,
        "temperature_K": data.temperature,
        "energy_std_eV": float(np.std(data.energies)),
        "force_rms_eV_per_A": float(np.sqrt(np.mean(data.forces**2))),
    }
