"""The whole chain on the shipped ethanol data, through the shell, with checks on what comes out.

Train, evaluate, re-fit, simulate, compare, as a user would type them, on a small scale (a few
minutes on two cores); then the server is attacked (`tools/attack.py`). Every command is printed
with its result; every check says what it looks at and what it found. Exit status 1 when one of them
fails.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from attack import attack
from shell import shell

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "sample_models" / "ethanol_500K.npz"
DRIFT_LIMIT = 5.0  # meV/atom/ps; half a femtosecond keeps ethanol far below it


def told(command: str, *arguments: object) -> dict[str, Any]:
    """The answer of one command, printed as well."""
    answer = shell(command, *arguments)
    print(json.dumps(answer, indent=1))
    return answer


def first_frame(run: Path, name: str) -> np.ndarray:
    """An array of a run's first recorded frame, shape (heads, replicas, …)."""
    with np.load(run / "chunk-000000.npz") as chunk:
        return chunk[name][:, :, 0]


def validate(folder: Path) -> dict[str, tuple[bool, str]]:
    """The chain; what each check looks at → whether it holds, and the numbers."""
    default, fisher, run = (
        folder / "default.safetensors",
        folder / "fisher.safetensors",
        folder / "run",
    )
    sizes = ["--frames", 400, "--valid", 100, "--epochs", 20]
    trained = told("train", DATA, "--out", default, *sizes)
    told("evaluate", default, DATA)
    refit = told("solve", default, DATA, "--out", fisher)
    numbers = ["--replicas", 16, "--steps", 500]
    md = told("simulate", default, fisher, "--data", DATA, "--out", run, *numbers)
    compared = told("compare", run)

    rmse = refit["force_rmse_eV_per_A"]
    positions, velocities = first_frame(run, "positions"), first_frame(run, "velocities")
    drifts = [abs(x) for x in md["drift_meV_per_atom_per_ps"].values() if x is not None]
    failed = {name: 16 - count for name, count in compared["survivors"].items()}
    forces = trained["valid_force_rmse_eV_per_A"]
    return {
        "training learnt forces (below 1 eV/Å)": (forces < 1.0, f"{forces:.3f} eV/Å"),
        "the re-fit does not raise the held-out force error by 2 %": (
            rmse["fisher"] <= 1.02 * rmse["default"],
            f"{rmse['default']:.4f} → {rmse['fisher']:.4f} eV/Å",
        ),
        "both heads start from the same positions and momenta": (
            np.array_equal(positions[0], positions[1])
            and np.array_equal(velocities[0], velocities[1]),
            f"{positions.shape[1]} replicas",
        ),
        "the survivors keep their energy": (
            bool(drifts) and max(drifts) < DRIFT_LIMIT,
            f"{max(drifts, default=float('nan')):.3f} meV/atom/ps",
        ),
        "simulate and compare count the same failures": (failed == md["exploded"], f"{failed}"),
    }


def main() -> int:
    """Run everything in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="fisherdash-validate-") as folder:
        checks = validate(Path(folder))
    checks |= {f"under attack, {name}": (held, seen) for name, held, seen in attack()}
    print()
    for name, (holds, found) in checks.items():
        print("ok  " if holds else "FAIL", f"{name}: {found}")
    return 0 if all(holds for holds, _ in checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
