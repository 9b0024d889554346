"""Spectra against oscillators whose frequencies, energies and Verlet shifts are known."""

import numpy as np
import pytest

from fisherdash.analysis.structure import SPEED_OF_LIGHT, folding_warning, highest_told, spectra
from fisherdash.errors import InputError

SPACING = 2.0
MASSES = np.array([1.0, 12.0, 16.0])


def oscillators(wavenumbers, energies, frames=6000, replicas=3, seed=0):
    """Each atom swings along its own axis at its own wavenumber with its own kinetic energy."""
    rng = np.random.default_rng(seed)
    t = SPACING * np.arange(frames)
    v = np.zeros((replicas, frames, 3, 3))
    for atom, (nu, energy) in enumerate(zip(wavenumbers, energies, strict=True)):
        phase = rng.uniform(0, 2 * np.pi, (replicas, 1))
        v[:, :, atom, atom] = np.sqrt(2 * energy / MASSES[atom]) * np.cos(
            2 * np.pi * SPEED_OF_LIGHT * nu * t + phase
        )
    return v


def test_peaks_stand_at_the_frequencies_with_areas_in_proportion_to_the_energies():
    nus, energies = (500.0, 1500.0, 3400.0), (1.0, 2.0, 5.0)
    found = spectra({"head": oscillators(nus, energies)}, MASSES, SPACING)
    width, power = found.wavenumbers[1], found.heads["head"]
    assert width <= 10.0 and power.sum() * width == pytest.approx(1.0)
    for nu, energy in zip(nus, energies, strict=True):
        near = np.abs(found.wavenumbers - nu) < 100.0
        peak = found.wavenumbers[near][np.argmax(power[near])]
        assert abs(peak - nu) <= width / 2 + 1e-9
        assert power[near].sum() * width == pytest.approx(energy / sum(energies), rel=1e-3)


def test_a_verlet_oscillator_peaks_where_its_time_step_puts_it():
    # Velocity Verlet of a harmonic oscillator runs at sin(ω'Δt/2) = ωΔt/2, 4 % fast here.
    step, nu = 2.0, 2600.0
    omega = 2 * np.pi * SPEED_OF_LIGHT * nu
    x, v, seen = 1.0, 0.0, []
    for _ in range(8000):
        v -= 0.5 * step * omega**2 * x
        x += step * v
        v -= 0.5 * step * omega**2 * x
        seen.append(v)
    found = spectra({"one": np.reshape(seen, (1, -1, 1, 1)) * np.ones(3)}, np.ones(1), step)
    shifted = 2 / step * np.arcsin(omega * step / 2) / (2 * np.pi * SPEED_OF_LIGHT)
    assert shifted > 1.005 * nu
    peak = found.wavenumbers[np.argmax(found.heads["one"])]
    assert abs(peak - shifted) <= found.wavenumbers[1] / 2 + 1e-9


def test_a_mode_faster_than_the_frames_is_folded_and_the_warning_says_so():
    limit = highest_told(SPACING)
    fast = spectra({"a": oscillators((limit + 300.0, 0, 0), (1, 0, 0))}, MASSES, SPACING)
    peak = fast.wavenumbers[np.argmax(fast.heads["a"])]
    assert abs(peak - (limit - 300.0)) < 10.0
    assert folding_warning(4.0, 0.5, hydrogen=True) == ""
    words = folding_warning(5.0, 0.5, hydrogen=True)
    assert "3,336 cm⁻¹" in words and "every 8 steps" in words and words.count(".") == 1
    assert folding_warning(5.0, 0.5, hydrogen=False) == ""
    assert "shorter time step" in folding_warning(20.0, 10.0, hydrogen=True)


def test_the_dead_have_no_spectrum_and_few_frames_are_one_sentence():
    v = oscillators((500.0, 600.0, 700.0), (1, 1, 1), frames=200)
    found = spectra({"alive": v, "dead": v[:0]}, MASSES, SPACING)
    assert found.heads["dead"] is None and found.replicas == {"alive": 3, "dead": 0}
    with pytest.raises(InputError, match="at least 16"):
        spectra({"short": v[:, :8]}, MASSES, SPACING)
