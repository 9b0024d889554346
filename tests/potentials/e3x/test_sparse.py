"""The list of neighbours changes no number: beside all pairs, at its edges, on the way back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.md.engine import PotentialForceField
from fisherdash.potentials.e3x import E3x, ModelConfig, potential, sparse
from fisherdash.potentials.head import SHARED, Head
from tests.randomised import ETHANOL, displaced_ethanol, energy_and_forces, random_body

CONFIG = ModelConfig(features=4, max_degree=1, iterations=3, basis=6, cutoff=2.2)
MOLECULES = 3
NUMBERS = np.tile(ETHANOL, MOLECULES)
HEAD = np.random.default_rng(7).normal(size=CONFIG.features)
ROOM = 8
FRAMES = 11
"""Of every batch: two blocks, of which the second is filled up."""


def cluster(frames: int) -> np.ndarray:
    """Ethanol molecules in a row, so close that some atoms of two see each other, Å."""
    offsets = 3.2 * np.arange(MOLECULES)[:, None] * [0.0, 0.0, 1.0]
    return (displaced_ethanol(frames)[:, None] + offsets[:, None]).reshape(frames, -1, 3)


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch):
    """Energies and forces with a list of so much room, or of all pairs for None."""

    def run(room: int | None, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        monkeypatch.setattr(potential, "slots", lambda cutoff, atoms: room)
        count = len(positions)
        filled = np.concatenate([positions, np.repeat(positions[-1:], FRAMES - count, axis=0)])
        energies, forces = compiled(room)(filled)
        return np.asarray(energies)[:count], np.asarray(forces)[:count]

    return run


@functools.cache
def compiled(room: int | None):
    """One compilation for each room; ``potential.slots`` must give it."""
    del room
    body = jax.tree.map(jnp.asarray, random_body(CONFIG))
    return jax.jit(lambda x: energy_and_forces(CONFIG, body, HEAD, NUMBERS, x))


def assert_same(found, expected, tolerance=1e-12) -> None:
    """Equal up to the rounding of the largest number."""
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


def test_room_follows_from_cutoff_and_atoms_alone() -> None:
    assert sparse.slots(3.0, 198) == 20
    assert [sparse.slots(3.0, atoms) for atoms in (9, 29, 30)] == [None, None, 20]
    assert sparse.slots(6.0, 198) is None and sparse.slots(2.0, 21) is None
    assert sparse.slots(CONFIG.cutoff, len(NUMBERS)) == ROOM


@pytest.mark.slow
def test_the_list_holds_every_pair_within_the_cutoff_from_both_sides() -> None:
    positions = cluster(4)
    distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    near = (distances < 2.2) & ~np.eye(len(NUMBERS), dtype=bool)
    assert 4 < near.sum(axis=-1).max() <= ROOM
    found, unusable = sparse.choose(2.2, ROOM, jnp.asarray(positions))
    atom, partner, empty = (np.asarray(one) for one in found)
    assert not unusable
    rows = np.arange(atom[..., 0].size).reshape(*atom.shape[:2], 1)
    listed = np.zeros(near.shape, bool)
    frame, i, _ = np.nonzero(~empty)
    assert (atom[~empty] // len(NUMBERS) == frame).all()
    listed[frame, i, atom[~empty] % len(NUMBERS)] = True
    np.testing.assert_array_equal(listed, near)
    np.testing.assert_array_equal(
        partner.ravel()[partner], np.arange(partner.size).reshape(partner.shape)
    )
    np.testing.assert_array_equal(atom.ravel()[partner], np.broadcast_to(rows, atom.shape))


@pytest.mark.slow
def test_energies_and_forces_are_those_of_all_pairs(evaluate) -> None:
    positions = cluster(FRAMES)
    assert_same(evaluate(ROOM, positions), evaluate(None, positions))


@pytest.mark.slow
def test_too_many_neighbours_are_never_left_out(evaluate) -> None:
    positions = cluster(FRAMES)
    positions[8] *= 0.6  # squeezed
    _, unusable = sparse.choose(CONFIG.cutoff, ROOM, jnp.asarray(positions))
    assert unusable
    energies, forces = evaluate(ROOM, positions)
    assert_same((energies, forces), evaluate(None, positions))
    assert_same((energies[8:9], forces[8:9]), [part[8:9] for part in evaluate(None, positions)])


def test_broken_positions_stay_broken(evaluate) -> None:
    positions = cluster(FRAMES)
    positions[3, 5, 1] = np.nan
    energies, forces = evaluate(ROOM, positions)
    assert np.isnan(energies[3]) and np.isnan(forces[3]).any()
    assert np.isfinite(np.delete(energies, 3)).all()


def test_forces_are_minus_the_gradient_while_an_atom_crosses_the_cutoff(evaluate) -> None:
    start, step = cluster(1)[0], 1e-4
    path = np.repeat(start[None], FRAMES, axis=0)
    # From out of reach of all others to well within reach of one, in steps of 0.2 Å.
    path[:, -1] = start[-1] + (3.2 - 0.2 * np.arange(FRAMES)[:, None]) * [0.0, 0.0, 1.0]
    reach = np.linalg.norm(path[:, -1:] - path[:, :-1], axis=-1)
    members = np.sum(reach < CONFIG.cutoff, axis=1)
    assert members[0] == 0 and members[-1] > 0
    _, forces = evaluate(ROOM, path)
    energies = []
    for sign in (1, -1):
        moved = path.copy()
        moved[:, -1, 2] += sign * step
        energies.append(evaluate(ROOM, moved)[0])
    numeric = -(energies[0] - energies[1]) / (2 * step)
    assert np.abs(numeric).max() > 1e-2
    np.testing.assert_allclose(forces[:, -1, 2], numeric, atol=1e-6 * np.abs(forces).max())


@pytest.mark.slow
def test_weights_have_the_gradient_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through energies and forces, as a training takes it."""
    positions = jnp.asarray(cluster(2))

    def loss(body):
        energies, forces = energy_and_forces(CONFIG, body, HEAD, NUMBERS, positions)
        return jnp.sum(energies**2) + jnp.sum(forces**2)

    found = []
    for room in (ROOM, None):
        monkeypatch.setattr(potential, "slots", lambda cutoff, atoms, room=room: room)
        gradient = jax.jit(lambda body: jax.grad(loss)(body))(random_body(CONFIG))
        found.append([np.asarray(leaf) for leaf in jax.tree.leaves(gradient)])
    largest = max(np.abs(leaf).max() for leaf in found[1])
    for listed, every in zip(*found, strict=True):
        assert np.abs(listed - every).max() <= 1e-12 * largest


@pytest.mark.slow
def test_two_bodies_are_as_each_alone_and_still_choose_one_way(evaluate) -> None:
    bodies = [jax.tree.map(jnp.asarray, random_body(CONFIG, seed)) for seed in (1, 0)]
    params = {
        "body": jax.tree.map(lambda *leaves: jnp.stack(leaves), *bodies),
        "heads": Head(jnp.tile(HEAD, (2, 1, 1))),
    }
    field = PotentialForceField(E3x(CONFIG), SHARED, tuple(map(int, NUMBERS)))
    moves = np.ones((2, 3), bool)
    assert "cond[" in str(jax.make_jaxpr(field)(params, np.zeros((2, 3, len(NUMBERS), 3)), moves))
    positions = np.stack([cluster(6)[3:], cluster(3)])
    run = jax.jit(field)
    energies, forces = run(params, positions, moves)
    squeezed = positions.copy()
    squeezed[1, 2] *= 0.6  # no member has to know of the other's
    pressed = run(params, squeezed, moves)
    for found, at in (((energies, forces), positions), (pressed, squeezed)):
        assert_same([np.asarray(part[1]) for part in found], evaluate(None, at[1]))
    assert_same([np.asarray(part[0]) for part in pressed], [energies[0], forces[0]])


def test_the_total_energy_is_kept_as_with_all_pairs(evaluate) -> None:
    """Velocity Verlet of equal masses, in which atoms come and go at the cutoff."""
    first, dt = cluster(3), 0.01
    spread = []
    for room in (ROOM, None):
        x, v = first.copy(), 0.3 * np.random.default_rng(0).normal(size=first.shape)
        _, forces = evaluate(room, x)
        total = []
        for _ in range(60):
            v += 0.5 * dt * forces
            x += dt * v
            energies, forces = evaluate(room, x)
            v += 0.5 * dt * forces
            total.append(energies + 0.5 * np.sum(v**2, axis=(1, 2)))
        spread.append(np.std(total, axis=0))
    np.testing.assert_allclose(spread[0], spread[1], rtol=1e-6)
