"""NVE dynamics: against the report's ASE loop, jax-md, and bare evaluations of the forces.

Scaling: how the time of one step grows with replicas and atoms, and falls with devices. Replicas
of ethanol are independent, so their time grows in proportion once the device is busy. Atoms are
those of several ethanol molecules on a grid, as one system: over all pairs the time grows with
their square, with a list of neighbours (:mod:`fisherdash.potentials.e3x.sparse`: here from 36
atoms on) in proportion. The exponent p of t = c·nᵖ is fitted where the time has at least doubled
from its least value; what comes before is the cost of starting a step at all. Several devices
share 1,024 replicas; the exponent of all points is −1 at best.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import ase
import ase.units
import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet

from fisherdash.bench import Result, compare_times, inputs, race, seconds
from fisherdash.errors import InputError
from fisherdash.md import Bonds, Contacts, engine, find_contacts, initial, start
from fisherdash.md.engine import group_checkpoints
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import HeadForm
from fisherdash.settings import MDSettings

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
        checkpoint = inputs.checkpoint()
        assert atoms is not None
        with inputs.plain_jax():
            energies, forces = inputs.reference_forces(
                checkpoint.body,
                checkpoint.head.astype(np.float32),
                atoms.positions[None].astype(np.float32),
            )
        self.results = {"energy": float(energies[0]), "forces": np.asarray(forces[0], float)}


def nve_ase() -> Result:
    """64 replicas in our loop against one molecule in ASE's, in replica-steps per second."""
    atoms = ase.Atoms(inputs.MOLECULE)
    atoms.calc = _E3xCalculator()
    integrator = VelocityVerlet(atoms, timestep=0.5 * ase.units.fs)
    advance = _stepper(REPLICAS)
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
    checkpoint, steps = inputs.checkpoint(), 10 * STEPS
    # Its units are ours but for time, which follows from eV, Å and amu.
    timestep = np.float32(MDSettings().timestep * ase.units.fs)
    with inputs.plain_jax():
        body, head = jax.device_put((checkpoint.body, checkpoint.head.astype(np.float32)))
        _, shift = space.free()
        start_at, step = theirs.nve(
            lambda x, **_: inputs.reference_energies(body, head, x[None])[0], shift, timestep
        )
        masses = jnp.asarray(initial.masses(inputs.NUMBERS), jnp.float32)[:, None]
        at = inputs.positions(1, np.float32)[0]
        state = start_at(jax.random.key(0), jnp.asarray(at), kT=0.025, mass=masses)
        advance = jax.jit(lambda state: jax.lax.fori_loop(0, steps, lambda _, s: step(s), state))

    def peer() -> None:
        """The whole run in jax-md's compiled loop."""
        with inputs.plain_jax():
            jax.block_until_ready(advance(state).position)

    ours = _stepper(1)
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
        """Bare evaluations of the replicas of one device."""

        def evaluate(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            """Forces at positions that hardly move."""
            x, _ = carry
            _, forces = group.force_field(params, x, jnp.ones(x.shape[:2], bool))
            return x + 1e-12 * forces, forces  # so that no evaluation can be left out

        return jax.lax.fori_loop(0, STEPS, evaluate, (x, jnp.zeros_like(x)))[1]

    places = layout.state.positions
    spread = jax.shard_map(
        share, mesh=layout.mesh, in_specs=(layout.params, places), out_specs=places, check_vma=False
    )
    bare, loop = jax.jit(spread), _stepper(REPLICAS)
    return compare_times(
        lambda: loop(STEPS), lambda: jax.block_until_ready(bare(params, x)), rounds=9
    )


def nve_quadratic() -> Result:
    """Seconds of a quadratic head, all features in its products, against a linear one by element.

    64 replicas of the same molecule in our loop.
    """
    linear = inputs.checkpoint().by_element(map(int, inputs.NUMBERS))
    form = HeadForm("quadratic", linear.form.elements)
    wide = linear.in_form(form)
    count = len(linear.head)
    products = 1e-4 * np.random.default_rng(3).normal(size=len(wide.head) - count)
    wide = dataclasses.replace(wide, head=np.append(linear.head, products))
    quadratic, plain = _stepper(REPLICAS, model=wide), _stepper(REPLICAS, model=linear)
    return compare_times(lambda: quadratic(STEPS), lambda: plain(STEPS), rounds=9)


def _stepper(
    replicas: int, molecules: int = 1, devices: int | None = None, model: Checkpoint | None = None
) -> Callable[[int], None]:
    """Our loop at work on so many replicas of so many ethanol molecules: a call does n steps.

    On so many devices, which must divide the replicas, or on as many as the program would take;
    with the checkpoint of all benchmarks, or another.
    """
    group, params, state, constants = _start(replicas, molecules, model)
    layout = engine.Layout.of(group, replicas)
    if devices is not None:
        some = np.array(jax.local_devices()[:devices]).reshape(1, -1)
        layout = engine.Layout(jax.sharding.Mesh(some, layout.mesh.axis_names), members=False)
    params, state = layout.put(params, layout.params), layout.put(state, layout.state)

    def call(steps: int) -> None:
        """So many steps, waited for."""
        # Frames beyond the buffer are dropped, which is as much work as keeping them.
        work = (params, state, constants, np.int64(steps))
        jax.block_until_ready(engine.advance(group.force_field, FRAMES, layout, *work))

    return call


def _start(replicas: int, molecules: int = 1, model: Checkpoint | None = None):
    numbers = np.tile(inputs.NUMBERS, molecules)
    (group,) = group_checkpoints({"benchmark": model or inputs.checkpoint()}, numbers, "float32")
    masses, x = initial.masses(numbers), inputs.cluster(replicas, molecules)
    state = start(x, initial.thermal_momenta(x, masses, 300.0, 0, linear=False), heads=1)
    settings, data = MDSettings(), inputs.dataset(40)
    bonds = initial.find_bonds(data)
    limits = find_contacts(data, bonds, settings.clash).limits
    pairs = [bonds.pairs + k * len(inputs.NUMBERS) for k in range(molecules)]
    several = Bonds(np.concatenate(pairs), np.tile(bonds.lengths, molecules))
    constants = engine.RunConstants(
        masses,
        several.pairs,
        several.lengths,
        Contacts.of(numbers, several, limits).matrix,
        np.float64(settings.timestep),
        np.int64(settings.record_every),
    )
    return group, group.params, state, constants


REPLICA_NUMBERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOLECULES = (1, 2, 3, 4, 6, 8, 12, 16, 22)
"""9 to 198 atoms."""

CALL_SECONDS = 0.3
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Growth:
    """Time of a step against the number of something.

    Attributes:
        of: "replicas", "atoms" or "devices".
        counts: of these.
        milliseconds: of one step, the median of several calls.
        exponent: p of t = c·nᵖ where the time has at least doubled, for devices of all points;
            None with fewer than two points.
        stderr: of the exponent; None with fewer than three points.
    """

    of: str
    counts: tuple[int, ...]
    milliseconds: tuple[float, ...]
    exponent: float | None
    stderr: float | None

    @classmethod
    def fitted(cls, of: str, counts: list[int], milliseconds: list[float]) -> "Growth":
        """With the exponent of these times."""
        least = min(milliseconds)
        busy = [k for k, ms in enumerate(milliseconds) if ms >= 2 * least]
        busy = [k for k in busy if k >= milliseconds.index(least)]
        if of == "devices":
            busy = list(range(len(counts)))
        exponent = stderr = None
        if len(busy) >= 2:
            x, y = (np.log([values[k] for k in busy]) for values in (counts, milliseconds))
            exponent, offset = (float(one) for one in np.polyfit(x, y, 1))
            if len(busy) >= 3:
                left = y - exponent * x - offset
                scatter = float(np.sum(left**2)) / (len(busy) - 2)
                stderr = math.sqrt(scatter / float(np.sum((x - x.mean()) ** 2)))
        return cls(of, tuple(counts), tuple(milliseconds), exponent, stderr)


Watch = Callable[[int, int, str], None]
"""Called with the points done, their total and what comes next."""


def scaling(watch: Watch | None = None) -> Iterator[Growth]:
    """Growth with replicas, then with atoms, then with devices where there are several."""
    plan: list[tuple[str, list[tuple[int, int, int | None]]]] = [
        ("replicas", [(count, 1, None) for count in REPLICA_NUMBERS]),
        ("atoms", [(1, count, None) for count in MOLECULES]),
    ]
    devices = [2**k for k in range(jax.local_device_count().bit_length())]
    if len(devices) > 1:
        plan.append(("devices", [(REPLICA_NUMBERS[-1], 1, count) for count in devices]))
    done, total = 0, sum(len(points) for _, points in plan)
    for of, points in plan:
        counts, times = [], []
        for replicas, molecules, share in points:
            atoms = molecules * len(inputs.NUMBERS)
            if watch is not None:
                where = f" on {share} devices" if share else ""
                watch(done, total, f"{replicas} replicas of {atoms} atoms{where}")
            counts.append({"replicas": replicas, "atoms": atoms, "devices": share}[of])
            times.append(1e3 * seconds_per_step(replicas, molecules, share))
            done += 1
        yield Growth.fitted(of, counts, times)


def seconds_per_step(replicas: int, molecules: int, devices: int | None = None) -> float:
    """Median time of one step of our loop, calls of about CALL_SECONDS."""
    call = _stepper(replicas, molecules, devices)
    call(1)  # compiles
    once = seconds(lambda: call(2)) / 2
    steps = max(1, round(CALL_SECONDS / once))
    return float(np.median([seconds(lambda: call(steps)) / steps for _ in range(ROUNDS)]))
