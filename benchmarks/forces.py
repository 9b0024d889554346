"""Energies and forces of 32 ethanol molecules: our evaluation against E3x's own modules.

Same weights, same frames, both compiled, both in single precision, both with reverse-mode
forces. E3x runs as one graph of disjoint molecules, the way its tutorial batches.
"""

import warnings

import ase.build
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Result, race
from fisherdash import model

FRAMES = 32
LARGEST_DISAGREEMENT = 1e-3  # eV/Å; single precision against single precision


def run() -> Result:
    """Frames a second."""
    config = model.ModelConfig()
    body, _ = model.init(config, seed=0)
    random = np.random.default_rng(0)
    head = random.normal(size=config.features).astype(np.float32)
    molecule = ase.build.molecule("CH3CH2OH")
    noise = random.normal(scale=0.05, size=(FRAMES, len(molecule), 3))
    positions = (molecule.positions + noise).astype(np.float32)
    numbers = jnp.asarray(molecule.numbers)

    fast = jax.jit(model.energy_and_forces, static_argnums=0)

    def ours() -> np.ndarray:
        return np.asarray(fast(config, body, head, numbers, positions)[1])

    @jax.jit
    def reference(x: jax.Array) -> jax.Array:
        def total(x: jax.Array) -> jax.Array:
            return jnp.sum(model.reference_descriptors(config, body, numbers, x) @ head)

        return -jax.grad(total)(x)

    def peer() -> np.ndarray:
        # E3x's modules take the default precision; ours is asked for explicitly.
        with jax.enable_x64(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our reference asks for float64 and is given float32
            return np.asarray(reference(positions))

    gap = float(np.abs(ours() - peer()).max())
    if not (peer().dtype == np.float32 and gap < LARGEST_DISAGREEMENT):
        raise RuntimeError(f"the two disagree by {gap} eV/Å ({peer().dtype}): nothing to compare")
    return race(ours, peer, work=FRAMES, unit="frames/s")
