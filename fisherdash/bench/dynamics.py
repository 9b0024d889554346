"""NVE dynamics: against the report's ASE loop, and against bare evaluations of the forces."""

from typing import Any

import ase
import ase.units
import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet

from fisherdash.bench import ethanol
from fisherdash.bench.race import Result, compare_times, race
from fisherdash.simulate import MDSettings, engine, initial, start
from fisherdash.simulate.groups import group_checkpoints

REPLICAS = 64
STEPS = 10
ASE_STEPS = 20


class _E3xCalculator(Calculator):
    """E3x's modules behind ASE's interface, as in the tutorial."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - that is ASE's interface

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        """One evaluation in single precision."""
        super().calculate(atoms, properties, system_changes)
        checkpoint = ethanol.checkpoint()
        assert atoms is not None
        with ethanol.plain_jax():
            energies, forces = ethanol.reference_forces(
                checkpoint.body,
                checkpoint.head.astype(np.float32),
                atoms.positions[None].astype(np.float32),
            )
        self.results = {"energy": float(energies[0]), "forces": np.asarray(forces[0], float)}


def nve_ase() -> Result:
    """64 replicas in our loop against one molecule in ASE's, in replica-steps per second."""
    atoms = ase.Atoms(ethanol.MOLECULE)
    atoms.calc = _E3xCalculator()
    integrator = VelocityVerlet(atoms, timestep=0.5 * ase.units.fs)
    return race(
        _loop(),
        lambda: integrator.run(ASE_STEPS),
        work=REPLICAS * STEPS,
        peer_work=ASE_STEPS,
        unit="replica-steps/s",
    )


def nve_overhead() -> Result:
    """Seconds of our loop against as many bare evaluations of the same forces, 64 replicas."""
    force_field, params, state, _ = _start()

    @jax.jit
    def bare(params, x):
        def evaluate(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, _ = carry
            _, forces = force_field(params, x)
            return x + 1e-12 * forces, forces  # so that no evaluation can be left out

        return jax.lax.fori_loop(0, STEPS, evaluate, (x, jnp.zeros_like(x)))

    x = jnp.asarray(state.positions)
    return compare_times(_loop(), lambda: jax.block_until_ready(bare(params, x)), rounds=9)


def _start():
    numbers = ethanol.NUMBERS
    (group,) = group_checkpoints({"benchmark": ethanol.checkpoint()}, numbers, "float32")
    masses, x = initial.masses(numbers), ethanol.positions(REPLICAS)
    state = start(x, initial.thermal_momenta(x, masses, 300.0, 0), heads=1)
    settings, bonds = MDSettings(), initial.find_bonds(ethanol.dataset(REPLICAS))
    scenery = engine.Scenery(
        masses,
        bonds.pairs,
        bonds.lengths,
        np.float64(settings.timestep),
        np.int64(settings.record_every),
    )
    return group.force_field, jax.device_put(group.params), state, scenery


def _loop():
    force_field, params, state, scenery = _start()

    def run() -> None:
        steps = np.int64(STEPS)
        jax.block_until_ready(engine.advance(force_field, 8, params, state, scenery, steps))

    return run
