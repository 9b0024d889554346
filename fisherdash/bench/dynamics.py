"""NVE dynamics: against the report's ASE loop, jax-md, and bare evaluations of the forces."""

from collections.abc import Callable
from importlib import import_module
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
from fisherdash.errors import InputError
from fisherdash.simulate import MDSettings, engine, initial, start
from fisherdash.simulate.groups import group_checkpoints

REPLICAS = 64
STEPS = 50
"""Of a call: long enough that how the other's turn left the caches does not matter."""
FRAMES = 8
ASE_STEPS = 200


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
    advance = stepper(REPLICAS)
    return race(
        lambda: advance(STEPS),
        lambda: integrator.run(ASE_STEPS),
        work=REPLICAS * STEPS,
        peer_work=ASE_STEPS,
        unit="replica-steps/s",
    )


def nve_jax_md() -> Result:
    """One molecule in our loop against ``jax_md.simulate.nve`` with the energy of E3x's modules.

    Both loops are compiled as a whole and in single precision, with the same time step.

    Raises:
        InputError: where jax-md is not installed; the pins are in requirements-bench.txt.
    """
    try:
        theirs, space = (import_module(f"jax_md.{name}") for name in ("simulate", "space"))
    except ImportError:
        raise InputError(
            "jax-md is not installed; 'pip install -r requirements-bench.txt' adds it"
        ) from None
    checkpoint, steps = ethanol.checkpoint(), 10 * STEPS
    # Its units are ours but for time, which follows from eV, Å and amu.
    timestep = np.float32(MDSettings().timestep * ase.units.fs)
    with ethanol.plain_jax():
        body, head = jax.device_put((checkpoint.body, checkpoint.head.astype(np.float32)))
        _, shift = space.free()
        start_at, step = theirs.nve(
            lambda x, **_: ethanol.reference_energies(body, head, x[None])[0], shift, timestep
        )
        masses = jnp.asarray(initial.masses(ethanol.NUMBERS), jnp.float32)[:, None]
        at = ethanol.positions(1, np.float32)[0]
        state = start_at(jax.random.key(0), jnp.asarray(at), kT=0.025, mass=masses)
        advance = jax.jit(lambda state: jax.lax.fori_loop(0, steps, lambda _, s: step(s), state))

    def peer() -> None:
        with ethanol.plain_jax():
            jax.block_until_ready(advance(state).position)

    ours = stepper(1)
    return race(lambda: ours(steps), peer, work=steps, unit="steps/s")


def nve_overhead() -> Result:
    """Seconds of our loop against as many bare evaluations of the same forces, 64 replicas.

    Both are spread over the devices in the same way.
    """
    group, params, state, _ = _start(REPLICAS)
    layout = engine.Layout.of(group, REPLICAS)
    params = layout.put(params, layout.params)
    x = layout.put(state.positions, layout.state.positions)

    def share(params: Any, x: jax.Array) -> jax.Array:
        def evaluate(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, _ = carry
            _, forces = group.force_field(params, x)
            return x + 1e-12 * forces, forces  # so that no evaluation can be left out

        return jax.lax.fori_loop(0, STEPS, evaluate, (x, jnp.zeros_like(x)))[1]

    places = layout.state.positions
    spread = jax.shard_map(
        share, mesh=layout.mesh, in_specs=(layout.params, places), out_specs=places, check_vma=False
    )
    bare, loop = jax.jit(spread), stepper(REPLICAS)
    return compare_times(
        lambda: loop(STEPS), lambda: jax.block_until_ready(bare(params, x)), rounds=9
    )


def stepper(replicas: int, molecules: int = 1, devices: int | None = None) -> Callable[[int], None]:
    """Our loop at work on so many replicas of so many ethanol molecules: a call does n steps.

    On so many devices, which must divide the replicas, or on as many as the program would take.
    """
    group, params, state, scenery = _start(replicas, molecules)
    layout = engine.Layout.of(group, replicas)
    if devices is not None:
        some = np.array(jax.local_devices()[:devices]).reshape(1, -1)
        layout = engine.Layout(jax.sharding.Mesh(some, layout.mesh.axis_names), members=False)
    params, state = layout.put(params, layout.params), layout.put(state, layout.state)

    def call(steps: int) -> None:
        # Frames beyond the buffer are dropped, which is as much work as keeping them.
        work = (params, state, scenery, np.int64(steps))
        jax.block_until_ready(engine.advance(group.force_field, FRAMES, layout, *work))

    return call


def _start(replicas: int, molecules: int = 1):
    numbers = np.tile(ethanol.NUMBERS, molecules)
    (group,) = group_checkpoints({"benchmark": ethanol.checkpoint()}, numbers, "float32")
    masses, x = initial.masses(numbers), ethanol.cluster(replicas, molecules)
    state = start(x, initial.thermal_momenta(x, masses, 300.0, 0), heads=1)
    settings, bonds = MDSettings(), initial.find_bonds(ethanol.dataset(40))
    pairs = [bonds.pairs + k * len(ethanol.NUMBERS) for k in range(molecules)]
    scenery = engine.Scenery(
        masses,
        np.concatenate(pairs),
        np.tile(bonds.lengths, molecules),
        np.float64(settings.timestep),
        np.int64(settings.record_every),
    )
    return group, group.params, state, scenery
