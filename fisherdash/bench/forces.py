"""Energies and forces: our evaluation against E3x's own modules, a list against all pairs.

Same weights, same frames, both compiled, both in single precision, both with reverse-mode forces.
Calls follow one another, as in dynamics: the first call after the other's turn finds caches and
memory as the other left them and takes up to twice as long.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash import model
from fisherdash.bench import ethanol
from fisherdash.bench.race import Result, race
from fisherdash.model.potential import together

LARGE_CALLS = 30
_RELATIVE = 1e-4
"""Largest difference of the forces, single precision against single precision."""


def batch64() -> Result:
    """64 molecules a call, call after call."""
    return _against_e3x(64, calls=8)


def single() -> Result:
    """One molecule, as a calculator is asked."""
    return _against_e3x(1, calls=200)


def large() -> Result:
    """A cluster of 22 molecules, 198 atoms: a list of neighbours against all pairs of atoms."""
    x, numbers = ethanol.cluster(1, 22), np.tile(ethanol.NUMBERS, 22)
    ours, all_pairs = (
        _ours(f, x, numbers, LARGE_CALLS) for f in (model.energy_and_forces, together)
    )
    return _race(ours, all_pairs, work=LARGE_CALLS)


def _against_e3x(frames: int, calls: int) -> Result:
    x = ethanol.positions(frames)
    body, head, on_device = _on_device(x)

    def peer() -> np.ndarray:
        with ethanol.plain_jax():
            for _ in range(calls):
                _, forces = ethanol.reference_forces(body, head, on_device)
                jax.block_until_ready(forces)
        return np.asarray(forces)

    ours = _ours(model.energy_and_forces, x, ethanol.NUMBERS, calls)
    return _race(ours, peer, work=frames * calls)


def _ours(
    function: Callable[..., Any], x: np.ndarray, numbers: np.ndarray, calls: int
) -> Callable[[], np.ndarray]:
    """So many calls, one after the other; returns the forces."""
    body, head, on_device = _on_device(x)
    compiled, elements = jax.jit(function, static_argnums=0), jnp.asarray(numbers)

    def call() -> np.ndarray:
        for _ in range(calls):
            _, forces = compiled(ethanol.CONFIG, body, head, elements, on_device)
            jax.block_until_ready(forces)
        return np.asarray(forces)

    return call


def _on_device(x: np.ndarray) -> tuple[Any, jax.Array, jax.Array]:
    checkpoint = ethanol.checkpoint()
    single = checkpoint.head.astype(np.float32), x.astype(np.float32)
    return jax.device_put((checkpoint.body, *single))


def _race(ours: Callable[[], np.ndarray], peer: Callable[[], np.ndarray], work: int) -> Result:
    reference = peer()
    gap = float(np.abs(ours() - reference).max())
    if not (reference.dtype == np.float32 and gap < _RELATIVE * np.abs(reference).max()):
        raise RuntimeError(f"the two disagree by {gap} eV/Å: nothing to compare")
    return race(ours, peer, work=work, unit="frames/s")
