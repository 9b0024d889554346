"""Boltzmann samples of a molecule from a real potential (GFN2-xTB), and labels for other frames."""

from fisherdash.reference.labels import Labeller, energy_deviations, labeller, labeller_of
from fisherdash.reference.sampling import (
    SampleProgress,
    kept,
    molecule,
    molecule_bytes,
    molecule_names,
    sample,
)
