"""Published files, their units known from elsewhere: all are found without being told."""

import numpy as np
import pytest

from fisherdash.dataset import load, reference_bonds
from fisherdash.units import KCAL_PER_MOL

# File → frames, formula, bonds, energy per frame in eV (rounded), root mean square force in eV/Å.
FILES = {
    "rmd17_ethanol_train_01.npz": (1000, "C2H6O", 8, -4209.6, 1.195),
    "rmd17_ethanol_test_01.npz": (1000, "C2H6O", 8, -4209.6, 1.192),
    "rmd17_aspirin_train_01.npz": (1000, "C9H8O4", 21, -17617.7, 1.261),
    "rmd17_aspirin_test_01.npz": (1000, "C9H8O4", 21, -17617.7, 1.271),
    "md17_ethanol_2000.npz": (2000, "C2H6O", 8, -4214.8, 1.140),
    "acac_train_300K.xyz": (500, "C5H8O2", 14, -9391.4, 1.051),
    "acac_test_600K.xyz": (650, "C5H8O2", 14, -9390.9, 1.366),
}


@pytest.mark.parametrize("name", FILES)
def test_published(shared_data, name):
    frames, formula, bonds, energy, force = FILES[name]
    data = load(shared_data / name)
    assert (len(data), data.formula) == (frames, formula)
    assert data.energies.mean() == pytest.approx(energy, abs=0.06)
    assert np.sqrt(np.mean(data.forces**2)) == pytest.approx(force, abs=6e-4)
    assert len(reference_bonds(data.atomic_numbers, data.positions[0])[0]) == bonds
    assert data.temperature is None
    assert data.notes[0].startswith("Units")
    assert ("old_forces" in " ".join(data.notes)) == name.startswith("rmd17")


def test_old_labels_are_those_of_the_original_md17(shared_data):
    """rMD17 keeps MD17's labels: the same potential as the original file, frame for frame."""
    path = shared_data / "rmd17_ethanol_train_01.npz"
    old, new = load(path, labels="old"), load(path)
    raw = np.load(path)
    np.testing.assert_allclose(old.forces, raw["old_forces"] * KCAL_PER_MOL)
    assert np.array_equal(old.positions, new.positions)
    original = load(shared_data / "md17_ethanol_2000.npz")
    assert old.energies.mean() == pytest.approx(original.energies.mean(), abs=0.1)
    assert abs(new.energies.mean() - original.energies.mean()) > 5


def test_shipped_sample(root):
    data = load(root / "sample_models" / "ethanol_500K.npz")
    assert (len(data), data.formula, data.temperature) == (1500, "C2H6O", 500.0)
    # Equipartition of the potential energy over 21 nearly harmonic internal modes.
    kT = 8.617333e-5 * 500
    assert data.energies.std() == pytest.approx(np.sqrt(21 / 2) * kT, rel=0.1)
    counts = {len(reference_bonds(data.atomic_numbers, x)[0]) for x in data.positions}
    assert counts == {8}
