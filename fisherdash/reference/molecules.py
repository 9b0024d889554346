"""The molecule to sample: from a name of ASE's g2 set or from a structure file."""

import difflib
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule as build_molecule
from ase.build.molecule import extra
from ase.collections import g2

from fisherdash.dataset import clean_name, load_bytes
from fisherdash.dataset.checks import check_elements
from fisherdash.dataset.structures import read_frames
from fisherdash.errors import InputError

HEAVIEST = 86
"""The last element that GFN2-xTB knows, radon."""

STRUCTURE_SUFFIXES = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".sdf": "sdf",
    ".mol": "mol",
    ".pdb": "proteindatabank",
}


def molecule_names() -> list[str]:
    """The names that `molecule` knows: ASE's g2 set and its few additions, at least two atoms."""
    return [name for name in [*g2.names, *extra] if len(build_molecule(name)) > 1]


def molecule(name_or_path: str | Path) -> Atoms:
    """A molecule from an ASE g2 name (CH3CH2OH) or the first frame of a structure file.

    Files: .xyz, .extxyz, .sdf, .mol, .pdb, or .npz as data sets are. Cell and periodicity are
    dropped. Raises InputError for an unknown name, an unreadable file, fewer than two atoms,
    elements beyond radon.
    """
    name = str(name_or_path)
    if name in g2.names or name in extra:
        return _free(build_molecule(name))
    try:
        content = Path(name).read_bytes()
    except (FileNotFoundError, ValueError):
        near = difflib.get_close_matches(name, molecule_names(), n=3, cutoff=0.5)
        raise InputError(
            f"{name[:80]!r} is neither a structure file nor a name of ASE's g2 set"
            f"{'; near it are ' + ', '.join(near) if near else ' such as CH3CH2OH or H2O'}."
        ) from None
    except OSError as error:
        raise InputError(f"Cannot read {name[:80]}: {error.strerror}.") from None
    return molecule_bytes(name, content)


def molecule_bytes(name: str, data: bytes) -> Atoms:
    """`molecule` for an upload: the name gives the kind of file and is never used as a path."""
    name = clean_name(name)
    suffix = Path(name).suffix.lower()
    if suffix == ".npz":
        frames = load_bytes(name, data)
        return _free(Atoms(numbers=frames.atomic_numbers, positions=frames.positions[0]))
    if suffix not in STRUCTURE_SUFFIXES:
        raise InputError(
            f"{name} has the unknown suffix {suffix!r}; structure files are "
            f"{', '.join(STRUCTURE_SUFFIXES)} or .npz."
        )
    if not data:
        raise InputError(f"{name} is empty.")
    atoms = read_frames(data, name, STRUCTURE_SUFFIXES[suffix])[0]
    if len(atoms) == 0:
        raise InputError(f"{name} holds no atoms that can be read as {suffix}.")
    return _free(atoms)


def _free(atoms: Atoms) -> Atoms:
    """The atoms without calculator, constraints, cell and periodicity, checked."""
    atoms.calc = None
    atoms.set_constraint()
    atoms.set_cell(None)
    atoms.pbc = False
    check_atoms(atoms)
    return atoms


def check_atoms(atoms: Atoms) -> None:
    """InputError for fewer than two atoms, elements GFN2-xTB lacks, non-finite positions."""
    numbers = check_elements(atoms.numbers)
    if numbers.max() > HEAVIEST:
        raise InputError(
            f"GFN2-xTB knows the elements up to {HEAVIEST} (Rn), received {numbers.max()}."
        )
    if not np.isfinite(atoms.positions).all():
        raise InputError("The structure holds NaN or infinite positions.")
