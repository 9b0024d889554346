"""Energies and forces of ethanol: our evaluation against E3x's own modules.

Same weights, same frames, both compiled, both in single precision, both with reverse-mode forces.
Calls follow one another, as in dynamics: the first call after the other's turn finds caches and
memory as the other left them and takes up to twice as long.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash import model
from fisherdash.bench import ethanol
from fisherdash.bench.race import Result, race

_RELATIVE = 1e-4
"""Largest difference of the forces, single precision against single precision."""


def batch64() -> Result:
    """64 molecules a call, call after call."""
    return _race(64, calls=8)


def single() -> Result:
    """One molecule, as a calculator is asked."""
    return _race(1, calls=200)


def _race(frames: int, calls: int) -> Result:
    checkpoint = ethanol.checkpoint()
    body, head = jax.device_put((checkpoint.body, checkpoint.head.astype(np.float32)))
    x = jax.device_put(ethanol.positions(frames, np.float32))
    numbers = jnp.asarray(ethanol.NUMBERS)
    fast = jax.jit(model.energy_and_forces, static_argnums=0)

    def ours() -> np.ndarray:
        for _ in range(calls):
            _, forces = fast(ethanol.CONFIG, body, head, numbers, x)
            jax.block_until_ready(forces)
        return np.asarray(forces)

    def peer() -> np.ndarray:
        with ethanol.plain_jax():
            for _ in range(calls):
                _, forces = ethanol.reference_forces(body, head, x)
                jax.block_until_ready(forces)
        return np.asarray(forces)

    reference = peer()
    gap = float(np.abs(ours() - reference).max())
    if not (reference.dtype == np.float32 and gap < _RELATIVE * np.abs(reference).max()):
        raise RuntimeError(f"the two disagree by {gap} eV/Å: nothing to compare")
    return race(ours, peer, work=frames * calls, unit="molecules/s")
