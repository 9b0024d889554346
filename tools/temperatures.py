"""Which temperature do data show? A table, one row for each file.

    python tools/temperatures.py CHECKPOINT DATA [DATA …]

The second column is the Boltzmann test of the re-fit: kT from forces and Laplacians of the
checkpoint's descriptors, pooled, with its bootstrapped standard error. The third says whether the
descriptors agree with one another. The fourth needs no model: the spread of the energies, as that
of 3N − 6 harmonic modes, √((3N − 6)/2) kT (equipartition), with half the central 68 % of a
bootstrap over frames. FILE@PREFIX reads another set of labels of the file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from fisherdash import dataset, fisher
from fisherdash.fisher.diagnostics import SIGNIFICANT
from fisherdash.potentials import checkpoint
from fisherdash.units import BOLTZMANN


def harmonic(energies: np.ndarray, atoms: int) -> tuple[float, float]:
    """Temperature in K and its standard error from the spread of energies in eV."""
    chosen = np.random.default_rng(0).integers(len(energies), size=(2000, len(energies)))
    scale = np.sqrt((3 * atoms - 6) / 2) * BOLTZMANN
    low, high = np.percentile(energies[chosen].std(axis=1), [15.865, 84.135])
    return energies.std() / scale, (high - low) / 2 / scale


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("data", nargs="+")
    args = parser.parse_args()
    model = checkpoint.load(args.checkpoint)
    print("| data | pooled (K) | descriptors agree | spread of energies (K) |")
    print("| --- | --- | --- | --- |")
    for path in args.data:
        name, _, labels = path.partition("@")
        data = dataset.load(name, labels=labels or None)
        test = fisher.prepare(model, data, fisher.Options(head="shared")).boltzmann
        if test is None:
            raise SystemExit(f"{path}: too few frames for the test")
        heat, error = harmonic(data.energies, data.num_atoms)
        shown = f"{Path(name).name}{', ' + labels + ' labels' if labels else ''}"
        agree = "yes" if test.p_descriptors >= SIGNIFICANT else "no"
        print(
            f"| {shown} | {test.temperature:.0f} ± {test.stderr:.0f} | {agree} "
            f"(p = {test.p_descriptors:.1g}) | {heat:.0f} ± {error:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
