"""A data set of water in a known force field, and networks whose heads were fitted to it.

The bodies are random in every weight, so that no symmetry of an initialisation hides an error; the
head is the least-squares solution for the forces, so that the molecule holds together.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.e3x import E3x, ModelConfig, body_shapes
from tests.randomised import descriptors

WATER = np.array([8, 1, 1])
CONFIG = ModelConfig(features=16, max_degree=1, iterations=2, basis=12, cutoff=4.0)
OTHER_CONFIG = ModelConfig(features=12, max_degree=1, iterations=2, basis=12, cutoff=4.0)


def _energy(x):
    arms = x[1:] - x[:1]
    lengths = jnp.linalg.norm(arms, axis=-1)
    angle = jnp.dot(arms[0], arms[1]) / (lengths[0] * lengths[1])
    return 20.0 * jnp.sum((lengths - 0.96) ** 2) + 2.0 * (angle + 0.25) ** 2


@functools.cache
def water(frames: int = 60) -> Dataset:
    """Distorted water molecules with energies and forces of springs; no two frames alike."""
    rng = np.random.default_rng(0)
    geometry = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = geometry + 0.06 * rng.standard_normal((frames, 3, 3))
    energies, gradients = jax.jit(jax.vmap(jax.value_and_grad(_energy)))(positions)
    return Dataset(positions, np.asarray(energies), -np.asarray(gradients), WATER, 300.0)


_descriptors = jax.jit(descriptors, static_argnums=0)


def _jacobian(config, body, positions, step=1e-4):
    """∂D/∂x of every frame by central differences, shape (frames, coordinates, features)."""
    shifts = step * np.concatenate([np.eye(9), -np.eye(9)]).reshape(18, 1, 3, 3)
    moved = (positions + shifts).reshape(-1, 3, 3)
    d = np.asarray(_descriptors(config, body, WATER, moved)).reshape(2, 9, len(positions), -1)
    return np.swapaxes(d[0] - d[1], 0, 1) / (2 * step)


@functools.cache
def checkpoint(seed: int, ridge: float = 1e-7, config: ModelConfig = CONFIG) -> Checkpoint:
    """A random body and the head that describes water best; another ridge is another head."""
    rng = np.random.default_rng(seed)
    body = jax.tree.map(
        lambda leaf: np.float32(2.0 * rng.standard_normal(leaf.shape) / leaf.shape[-1] ** 0.5),
        body_shapes(config),
    )
    data = water()
    g = _jacobian(config, jax.tree.map(np.float64, body), data.positions)
    g = g.reshape(-1, config.features)
    normal = g.T @ g
    normal += ridge * np.trace(normal) * np.eye(config.features)
    head = np.linalg.solve(normal, -g.T @ data.forces.reshape(-1))
    name = f"body {seed} ridge {ridge:g}"
    return Checkpoint(E3x(config), body, head, np.zeros(119), (1, 8), name)


def exact(model: Checkpoint) -> Checkpoint:
    """The same weights in double precision."""
    return dataclasses.replace(model, body=jax.tree.map(np.float64, model.body))
