"""A head by element and constants of the energy back into a folder that NeuroChem wrote."""

import re
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers
from jaxtyping import Float

from fisherdash.potentials.ani import reading
from fisherdash.potentials.ani.network import Ani


def with_head(
    files: Mapping[str, bytes],
    source: str,
    potential: Ani,
    head: Float[np.ndarray, " weights"],
    change: Float[np.ndarray, " elements"],
) -> dict[str, bytes]:
    """The files with another last layer of every element.

    Args:
        files: content of the folder's files by their names in it.
        source: what the folder is called, for sentences.
        potential: of the folder.
        head: θ of every element, in the order of their atomic numbers, in the folder's unit.
        change: what is added to the constants by atomic number, in the folder's unit.
    """
    found = dict(files)
    networks = reading.folders(files, source)
    rows = head.reshape(len(potential.elements), len(networks), -1) * len(networks)
    for n, (folder, inside) in enumerate(networks):
        new = _network(inside, source, potential, rows[:, n], change)
        found |= {f"{folder}/{name}" if folder else name: data for name, data in new.items()}
    return found


def _network(
    files: Mapping[str, bytes],
    source: str,
    potential: Ani,
    rows: Float[np.ndarray, "elements width"],
    change: Float[np.ndarray, " elements"],
) -> dict[str, bytes]:
    """The files of one network that change."""
    layers, found = reading.layers_of(files, source), {}
    for symbol in layers:
        z = atomic_numbers[symbol]
        stem = f"networks/ANN-{symbol}.nnf-l{len(layers[symbol]) + 1}"
        weights = rows[potential.elements.index(z), : layers[symbol][-1]]
        found[f"{stem}.wparam"] = weights.astype("<f4").tobytes()
    # Constants of some thousand eV go where they are written with all digits.
    name = reading.energies_file(files, source)

    def moved(line: re.Match[str]) -> str:
        energy = float(line[3]) + float(change[atomic_numbers[line[1]]])
        return f"{line[1]}{line[2]}{energy!r}"

    text = files[name].decode("utf-8", "replace")
    found[name] = re.sub(r"(?m)^([A-Z][a-z]?)(\s*,\s*\d+\s*=\s*)(\S+)", moved, text).encode()
    return found
