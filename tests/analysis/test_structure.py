"""Distances, bonds, angles and spectra: known answers, planted geometries, known oscillators."""

import numpy as np
import pytest

from fisherdash.analysis import structure as room
from fisherdash.analysis.structure import (
    SPEED_OF_LIGHT,
    angles,
    angles_of,
    folding_warning,
    highest_told,
    kinds,
    lengths,
    spectra,
)
from fisherdash.errors import InputError


def dimers(lengths):
    frames = np.zeros((len(lengths), 2, 3))
    frames[:, 1, 0] = lengths
    return frames


def test_distances_do_not_change_when_the_molecule_turns():
    frames = np.random.default_rng(0).normal(size=(5, 4, 3))
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    np.testing.assert_allclose(
        room.pair_distances(frames), room.pair_distances(frames @ turn + 7.0), atol=1e-12
    )
    assert room.pair_distances(frames).shape == (5, 6)


def test_a_gaussian_bond_has_a_gaussian_distribution_with_integral_one():
    lengths = np.random.default_rng(2).normal(1.5, 0.1, 200_000)
    made = room.structure(dimers(lengths), {"same": dimers(lengths)})
    assert made.reference.sum() * room.WIDTH == pytest.approx(1.0)
    peak = np.exp(-0.5 * ((made.centres - 1.5) / 0.1) ** 2) / (0.1 * np.sqrt(2 * np.pi))
    assert np.abs(made.reference - peak).max() < 0.04 * peak.max()
    assert made.errors == {"same": 0.0}


def test_errors_run_from_nothing_to_nothing_in_common():
    rng = np.random.default_rng(3)
    data = dimers(rng.normal(1.5, 0.02, 4000))
    heads = {
        "another sample": dimers(rng.normal(1.5, 0.02, 4000)),
        "shifted": dimers(rng.normal(1.6, 0.02, 4000)),
        "elsewhere": dimers(rng.normal(2.2, 0.02, 4000)),
        "exploded": dimers(np.full(4000, 50.0)),
        "failed": dimers([]),
    }
    made = room.structure(data, heads)
    assert made.errors["another sample"] < 3 * made.floor < 0.3
    assert made.errors["another sample"] < made.errors["shifted"]
    assert made.errors["elsewhere"] == pytest.approx(2.0)
    assert made.errors["exploded"] == pytest.approx(2.0)
    assert made.errors["failed"] is None and made.heads["failed"] is None


def test_the_floor_falls_with_the_number_of_frames():
    lengths = np.random.default_rng(4).normal(1.5, 0.1, 40_000)
    few, many = (room.structure(dimers(lengths[:n]), {}).floor for n in (400, 40_000))
    assert many < 0.3 * few


def test_without_data_there_is_nothing_to_compare_with():
    with pytest.raises(InputError, match="at least 2 frames"):
        room.structure(dimers([1.0]), {})


NUMBERS = (6, 8, 1)
BONDS = [(0, 1, 1.4), (1, 2, 0.96)]


def bent(frames, *, oh=0.96, degrees=108.0, noise=0.01, seed=0):
    """C–O–H with known O–H length and angle, and normal noise on both."""
    rng = np.random.default_rng(seed)
    length = oh + noise * rng.standard_normal(frames)
    angle = np.radians(degrees + 100 * noise * rng.standard_normal(frames))
    x = np.zeros((frames, 3, 3))
    x[:, 0, 0] = 1.4
    x[:, 2, 0], x[:, 2, 1] = length * np.cos(angle), length * np.sin(angle)
    return x + rng.standard_normal((frames, 1, 3))  # the molecule may be anywhere


def test_lengths_and_angles_are_those_that_were_planted():
    x = bent(50, noise=0.0)
    assert lengths(x, np.array([[1, 2]])) == pytest.approx(0.96)
    assert angles(x, np.array([[0, 1, 2]])) == pytest.approx(108.0)
    straight = bent(2, degrees=180.0, noise=0.0)
    assert angles(straight, np.array([[2, 1, 0]])) == pytest.approx(180.0)


def test_kinds_pool_what_has_the_same_elements_and_are_named_one_way():
    methyl = [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert len(angles_of(methyl)) == 6 and angles_of([(0, 1)]) == []
    x = np.random.default_rng(0).normal(size=(5, 5, 3))
    found = {kind.name: kind.count for kind in kinds(x, {}, (6, 1, 1, 1, 8), methyl)}
    assert found == {"C–H": 3, "C–O": 1, "H–C–H": 3, "O–C–H": 3}


def test_a_shifted_head_is_as_far_away_as_it_was_shifted():
    data = bent(4000, seed=1)
    heads = {"same": bent(4000, seed=2), "long": bent(4000, oh=1.0, degrees=113.0, seed=3)}
    by_name = {
        kind.name: kind for kind in kinds(data, {**heads, "failed": data[:0]}, NUMBERS, BONDS)
    }
    bond, angle = by_name["O–H"], by_name["C–O–H"]
    assert bond.distances["long"] == pytest.approx(0.04, rel=0.03)
    assert angle.distances["long"] == pytest.approx(5.0, rel=0.03)
    assert bond.distances["same"] < 0.001 and bond.floor < 0.001
    assert bond.distances["failed"] is None and bond.heads["failed"] is None
    assert bond.data == pytest.approx((0.96, 0.01), rel=0.05)
    for density in bond.densities.values():
        width = bond.centres[1] - bond.centres[0]
        assert density.sum() * width == pytest.approx(1.0, abs=0.002)
    assert None in bond.densities and "failed" not in bond.densities


def test_one_broken_molecule_does_not_empty_the_chart():
    broken = bent(20000)
    broken[7, 2] += 1e4
    found = {kind.name: kind for kind in kinds(bent(1000), {"a": broken}, NUMBERS, BONDS)}
    assert 0.9 < found["O–H"].centres[0] < found["O–H"].centres[-1] < 1.1


def test_without_data_it_is_one_sentence():
    with pytest.raises(InputError, match="at least 2 frames"):
        kinds(bent(1), {}, NUMBERS, BONDS)


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
    found = spectra({"sound": v, "failed": v[:0]}, MASSES, SPACING)
    assert found.heads["failed"] is None and found.replicas == {"sound": 3, "failed": 0}
    with pytest.raises(InputError, match="at least 16"):
        spectra({"short": v[:, :8]}, MASSES, SPACING)


def test_an_atom_that_is_far_away_makes_no_millions_of_bins():
    near = np.random.default_rng(4).normal(1.5, 0.1, 500)
    far = near.copy()
    far[0] = 1e7  # which a file may say
    made = room.structure(dimers(far), {"near": dimers(near)})
    assert made.centres[-1] < room.FARTHEST + room.WIDTH and len(made.centres) < 10_100
    assert made.errors["near"] == pytest.approx(2 / 500, rel=1e-6)  # the one beyond counts


def test_of_more_distances_than_a_page_measures_some_are(monkeypatch):
    rng = np.random.default_rng(5)
    frames = rng.normal(size=(4000, 5, 3))
    whole = room.structure(frames, {"a": frames[1000:]})
    monkeypatch.setattr(room, "_AT_ONCE", 70)
    parts = room.structure(frames, {"a": frames[1000:]})
    np.testing.assert_allclose(parts.reference, whole.reference)
    assert parts.errors == pytest.approx(whole.errors) and parts.floor == pytest.approx(whole.floor)
    measured = []
    monkeypatch.setattr(room, "MOST", 1000)
    monkeypatch.setattr(
        room,
        "lengths",
        lambda x, members: measured.append(len(x) * len(members)) or lengths(x, members),
    )
    few = room.structure(frames, {"a": frames})
    bonds = kinds(frames, {"a": frames}, [6] * 5, [(0, 1), (1, 2)])
    assert np.abs(few.reference.sum() - whole.reference.sum()) < 1e-6
    assert sum(measured) <= 3 * 1000 + 2 * 1000  # the data twice, as their largest comes first
    assert bonds[0].data[0] == pytest.approx(np.mean(lengths(frames, np.array([[0, 1]]))), rel=0.1)
