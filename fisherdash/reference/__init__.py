"""Boltzmann samples of a molecule from a real potential (GFN2-xTB), to train and test on."""

from fisherdash.reference.sampling import (
    SampleProgress,
    kept,
    molecule,
    molecule_bytes,
    molecule_names,
    sample,
)
