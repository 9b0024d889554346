"""Dynamics of a MACE model here and in torch-sim, with the same library on one core.

    python benchmarks/torch_sim.py MODEL DATA --python THEIRS/bin/python [--steps 100]

MODEL is a file of MACE in eV, which its own library will open: trust it. THEIRS has mace-torch and
torch-sim-atomistic. Both do NVE of 32 molecules with the library on one thread. Printed are steps
(of all 32) in a second of processor time, of every process that works, the time to start taken
off by a shorter run. FisherDash asks the library in double precision; torch-sim does either.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MOLECULES, SHORT = 32, 20
THEIRS = """
import sys
import ase, numpy, torch, torch_sim
from torch_sim.models.mace import MaceModel

path, frames, precision, steps = sys.argv[1:]
torch.set_num_threads(1)
dtype = getattr(torch, precision)
frames = numpy.load(frames)
molecules = [ase.Atoms(frames["numbers"], x, cell=[40] * 3) for x in frames["positions"]]
model = torch.load(path, map_location="cpu", weights_only=False).to(dtype)
model = MaceModel(model=model, device=torch.device("cpu"), dtype=dtype, compute_stress=False)
nve = torch_sim.integrators.nve
torch_sim.integrate(
    molecules, model, integrator=nve, n_steps=int(steps), temperature=500, timestep=0.0005
)
"""


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def main(argv: list[str]) -> int:
    """Print the three speeds."""
    parser = argparse.ArgumentParser(description="MACE here and in torch-sim.")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FISHERDASH_WORKSPACE"] = folder
        rows = {
            f"torch-sim, {one}": theirs(args, Path(folder), one) for one in ("float32", "float64")
        }
        rows["FisherDash, float64"] = ours(args)
    for name, speed in rows.items():
        print(f"{name:22} {speed:6.1f} steps of {MOLECULES} molecules in a core second")
    return 0


def theirs(args: argparse.Namespace, folder: Path, precision: str) -> float:
    """Steps in a second of processor time in torch-sim."""
    import numpy as np

    from fisherdash.dataset import load

    data, frames = load(args.data), folder / "frames.npz"
    np.savez(frames, numbers=data.atomic_numbers, positions=data.positions[:MOLECULES])

    def run(steps: int) -> float:
        words = [
            args.python,
            "-W",
            "ignore",
            "-c",
            THEIRS,
            args.model,
            frames,
            precision,
            str(steps),
        ]
        before = processor_seconds()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return processor_seconds() - before

    return args.steps / (run(SHORT + args.steps) - run(SHORT))


def ours(args: argparse.Namespace) -> float:
    """Steps in a second of processor time, of this process and the library's."""
    from fisherdash.dataset import load
    from fisherdash.md import simulate
    from fisherdash.potentials.worker import client, importing
    from fisherdash.settings import ImportSettings, MDSettings, OutsideSettings

    outside = OutsideSettings(family="mace", python=args.python, trusted=True)
    unit = ImportSettings(energy_unit="eV")
    model = importing.load(args.model, unit, outside, name="mace").checkpoint
    data = load(args.data)

    def run(steps: int) -> float:
        before = processor_seconds()
        settings = MDSettings(replicas=MOLECULES, steps=steps, temperature=500.0)
        for _ in simulate({"mace": model}, data, settings):
            pass
        client.close_all()
        return processor_seconds() - before

    run(SHORT)  # compiles
    return args.steps / (run(SHORT + args.steps) - run(SHORT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
