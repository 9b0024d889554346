"""Networks with random weights: a head of zeros would make every symmetry test 0 = 0."""

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.fisher.derivatives import Derivatives
from fisherdash.potentials import head as heads
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.e3x import Body, E3x, ModelConfig, body_shapes
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import SHARED
from fisherdash.settings import MAX_ATOMIC_NUMBER

ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
ETHANOL_POSITIONS = np.array(
    [
        [1.168, -0.382, 0.000],
        [0.000, 0.560, 0.000],
        [-1.190, -0.215, 0.000],
        [2.103, 0.177, 0.000],
        [1.139, -1.020, 0.885],
        [1.139, -1.020, -0.885],
        [0.041, 1.206, 0.885],
        [0.041, 1.206, -0.885],
        [-1.951, 0.378, 0.000],
    ]
)


def random_body(config: ModelConfig, seed: int = 0, dtype: type = np.float64) -> Body:
    """Weights of order one after each layer, biases and residual kernels not zero."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        scale = 2 / np.sqrt(shape[0]) if len(shape) == 2 else 0.5
        return (rng.normal(size=shape) * scale).astype(dtype)

    return jax.tree.map(lambda leaf: draw(leaf.shape), body_shapes(config))


def random_checkpoint(
    config: ModelConfig | None = None,
    seed: int = 0,
    elements: tuple[int, ...] = (1, 6, 8),
    dtype: type = np.float64,
) -> Checkpoint:
    """A checkpoint with a random body and a random head."""
    config = config or ModelConfig(features=6, max_degree=1, iterations=2, basis=8, cutoff=3.0)
    rng = np.random.default_rng([seed, 1])
    bias = np.zeros(MAX_ATOMIC_NUMBER + 1)
    bias[list(elements)] = rng.normal(size=len(elements))
    body, head = random_body(config, seed, dtype), rng.normal(size=config.features)
    return Checkpoint(E3x(config), body, head, bias, elements, name="random")


def descriptors(config: ModelConfig, body: Body, atomic_numbers, positions) -> jax.Array:
    """Σ_i h_i of every frame."""
    return jnp.sum(E3x(config).features(body, atomic_numbers, positions).features, axis=1)


def energy_and_forces(config: ModelConfig, body: Body, head, atomic_numbers, positions):
    """Of a network with a shared head θ, one for all frames or one for each."""
    head = heads.Head(jnp.asarray(head))
    return heads.energy_and_forces(E3x(config), SHARED, body, head, atomic_numbers, positions)


_derivatives = jax.jit(
    Derivatives.of, static_argnums=(0, 1), static_argnames=("laplacian", "internal")
)


def derivatives(model: Checkpoint, positions, **how) -> Derivatives:
    """Of the descriptors of a checkpoint in double precision, at geometries of ethanol."""
    body = jax.tree.map(jnp.asarray, model.body)
    static = model.potential, model.form, body, model.head_basis
    return _derivatives(*static, jnp.asarray(ETHANOL), jnp.asarray(positions), **how)


def displaced_ethanol(frames: int, seed: int = 0, amplitude: float = 0.05) -> np.ndarray:
    """Ethanol with every coordinate displaced by normal noise, shape (frames, 9, 3), Å."""
    noise = np.random.default_rng(seed).normal(size=(frames, *ETHANOL_POSITIONS.shape))
    return ETHANOL_POSITIONS + amplitude * noise


def milder(truth: Checkpoint) -> Checkpoint:
    """The same with a head a tenth as large: its dynamics break no molecule."""
    return truth.with_head(0.1 * truth.head, truth.element_bias, "milder", {})


def planted_dataset(checkpoint: Checkpoint, frames: int, seed: int = 0) -> Dataset:
    """Displaced ethanol whose energies and forces are those of ``checkpoint``."""
    positions = displaced_ethanol(frames, seed)
    blank = Dataset(positions, np.zeros(frames), np.zeros_like(positions), ETHANOL)
    energies, forces = predict(checkpoint, blank)
    return Dataset(positions, energies, forces, ETHANOL, temperature=300.0, source="planted")
