"""What every force field must obey, on randomised networks in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fisherdash.potentials.e3x import ModelConfig
from tests.randomised import (
    ETHANOL,
    ETHANOL_POSITIONS,
    displaced_ethanol,
    energy_and_forces,
    random_body,
)

CONFIGS = {
    "report": ModelConfig(features=8, basis=12),
    "scalars": ModelConfig(features=8, max_degree=0, iterations=2, basis=8, cutoff=4.0),
    "four steps": ModelConfig(features=4, max_degree=1, iterations=4, basis=6),
}


FRAMES = 32
_evaluate = jax.jit(energy_and_forces, static_argnums=0)


def force_field(name: str, atomic_numbers: np.ndarray = ETHANOL):
    """Positions (frames, 9, 3) to energies and forces; one shape, so that one compilation does."""
    config = CONFIGS[name]
    body = jax.tree.map(jnp.asarray, random_body(config))
    head = jnp.asarray(np.random.default_rng(7).normal(size=config.features))

    def evaluate(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = len(positions)
        filled = np.concatenate([positions, np.repeat(positions[-1:], FRAMES - frames, axis=0)])
        energies, forces = _evaluate(config, body, head, jnp.asarray(atomic_numbers), filled)
        return np.asarray(energies)[:frames], np.asarray(forces)[:frames]

    return evaluate


@pytest.fixture(params=CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.slow
def test_forces_are_not_zero(name: str) -> None:
    energies, forces = force_field(name)(displaced_ethanol(2))
    assert np.abs(energies).max() > 1e-2
    assert np.abs(forces).max() > 1e-2


def test_rotation_reflection_translation(name: str) -> None:
    rng = np.random.default_rng(1)
    positions = displaced_ethanol(2)
    energies, forces = force_field(name)(positions)
    for mirror in (1.0, -1.0):
        matrix = mirror * Rotation.random(random_state=3).as_matrix()
        moved_energies, moved_forces = force_field(name)(positions @ matrix.T + rng.normal(size=3))
        np.testing.assert_allclose(moved_energies, energies, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(moved_forces, forces @ matrix.T, rtol=1e-9, atol=1e-10)


def test_permutation(name: str) -> None:
    positions = displaced_ethanol(1)
    order = np.random.default_rng(2).permutation(len(ETHANOL))
    energies, forces = force_field(name)(positions)
    permuted = force_field(name, ETHANOL[order])(positions[:, order])
    np.testing.assert_allclose(permuted[0], energies, rtol=1e-11)
    np.testing.assert_allclose(permuted[1], forces[:, order], rtol=1e-9, atol=1e-10)


def test_forces_are_minus_the_gradient(name: str) -> None:
    positions, step = displaced_ethanol(1)[0], 1e-4
    steps = step * np.eye(positions.size).reshape(-1, *positions.shape)
    plus, _ = force_field(name)(positions + steps)
    minus, _ = force_field(name)(positions - steps)
    _, forces = force_field(name)(positions[None])
    numeric = -(plus - minus) / (2 * step)
    assert np.abs(numeric - forces.ravel()).max() < 1e-6 * np.abs(forces).max()


def test_total_force_and_torque_vanish(name: str) -> None:
    positions = displaced_ethanol(3)
    _, forces = force_field(name)(positions)
    np.testing.assert_allclose(forces.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(np.cross(positions, forces).sum(axis=1), 0, atol=1e-9)


def test_distant_fragments_add(name: str) -> None:
    near = ETHANOL_POSITIONS + np.random.default_rng(4).normal(scale=0.05, size=(9, 3))
    alone = 100.0 * np.arange(1, 10)[:, None] * [0.0, 0.0, 1.0]
    first, second = np.arange(9) < 4, np.arange(9) >= 4

    def bring(*fragments: np.ndarray) -> np.ndarray:
        positions = alone.copy()
        for index, atoms in enumerate(fragments):
            positions[atoms] = near[atoms] + [50.0 * index, 0.0, 0.0]
        return positions

    energies, forces = force_field(name)(
        np.stack([bring(first, second), bring(first), bring(second), bring()])
    )
    both, only_first, only_second, none = energies
    np.testing.assert_allclose(both + none, only_first + only_second, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(forces[0][first], forces[1][first], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(forces[0][second], forces[2][second], rtol=1e-9, atol=1e-10)
    assert abs(both - none) > 1e-3


def test_smooth_at_the_cutoff(name: str) -> None:
    cutoff = CONFIGS[name].cutoff
    distances = np.append(cutoff + np.linspace(-0.02, 0.02, 9), 0.5 * cutoff)
    positions = np.tile(100.0 * np.arange(9)[:, None] * [0.0, 0.0, 1.0], (10, 1, 1))
    positions[:, 1] = positions[:, 0]
    positions[:, 1, 0] += distances
    energies, forces = force_field(name)(positions)
    isolated = energies[8]
    np.testing.assert_allclose(energies[:9], isolated, atol=1e-9)
    np.testing.assert_allclose(forces[:9], 0, atol=1e-7)
    assert abs(energies[9] - isolated) > 1e-3


def test_frames_do_not_see_each_other(name: str) -> None:
    positions = displaced_ethanol(3)
    energies, forces = force_field(name)(positions)
    changed = positions.copy()
    changed[1] += np.random.default_rng(5).normal(scale=0.1, size=changed[1].shape)
    other_energies, other_forces = force_field(name)(changed)
    np.testing.assert_array_equal(np.delete(other_energies, 1), np.delete(energies, 1))
    np.testing.assert_array_equal(other_forces[[0, 2]], forces[[0, 2]])
    assert abs(other_energies[1] - energies[1]) > 1e-6


def test_coinciding_atoms_give_finite_numbers(name: str) -> None:
    positions = ETHANOL_POSITIONS[None].copy()
    positions[0, 4] = positions[0, 3] + 1e-9
    energies, forces = force_field(name)(positions)
    assert np.isfinite(energies).all() and np.isfinite(forces).all()


def test_head_per_frame_equals_separate_heads() -> None:
    config = ModelConfig(features=5, max_degree=1, iterations=2, basis=6)
    body = jax.tree.map(jnp.asarray, random_body(config))
    heads = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)))
    positions = jnp.asarray(np.repeat(displaced_ethanol(1), 2, axis=0))
    energies, forces = _evaluate(config, body, heads, jnp.asarray(ETHANOL), positions)
    assert abs(energies[0] - energies[1]) > 1e-3
    for index in range(2):
        same = jnp.repeat(heads[index : index + 1], 2, axis=0)
        single = _evaluate(config, body, same, jnp.asarray(ETHANOL), positions)
        np.testing.assert_allclose(single[0][index], energies[index], rtol=1e-12)
        np.testing.assert_allclose(single[1][index], forces[index], rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_blocks_do_not_change_the_result() -> None:
    config = ModelConfig(features=4, max_degree=1, iterations=2, basis=6)
    body = jax.tree.map(jnp.asarray, random_body(config))
    head = jnp.asarray(np.random.default_rng(0).normal(size=4))
    positions = jnp.asarray(displaced_ethanol(70))
    energies, forces = _evaluate(config, body, head, jnp.asarray(ETHANOL), positions)
    part = _evaluate(config, body, head, jnp.asarray(ETHANOL), positions[40:50])
    np.testing.assert_allclose(energies[40:50], part[0], rtol=1e-12)
    np.testing.assert_allclose(forces[40:50], part[1], rtol=1e-10, atol=1e-12)
