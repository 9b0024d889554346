"""Boltzmann samples of a molecule from a real potential (GFN2-xTB), to train and test on.

name or structure file → molecules → sampling (dynamics: tblite and BAOAB) → keeping → a file
"""

from fisherdash.reference.keeping import kept
from fisherdash.reference.molecules import (
    STRUCTURE_SUFFIXES,
    molecule,
    molecule_bytes,
    molecule_names,
)
from fisherdash.reference.sampling import SampleProgress, sample

__all__ = [
    "STRUCTURE_SUFFIXES",
    "SampleProgress",
    "kept",
    "molecule",
    "molecule_bytes",
    "molecule_names",
    "sample",
]
