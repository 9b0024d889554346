"""The compiled loop: any number of heads times any number of replicas, frames recorded on the way.

One compiled function, :func:`advance`, does a number of steps that is an argument, not a shape.
It writes its frames into a buffer of fixed capacity, of which the host keeps those that were
filled. So the first call can be a single step and the later ones as long as half a second takes on
this machine, without a second compilation; a call ends early in front of the last step; a long way
between two frames is cut into several calls, so that a cancelled run stops within about a second.
Where a call ends changes no bit of the result, because every step is the same compiled loop body.
The very first evaluation of the forces is a step of zero length in the same loop: compiling a
separate function for it would double the wait in front of the first frame.

The next call is in the device's queue before the results of the last one are fetched, so recording
never makes the device wait. State and buffers are small (0.2 MB for 64 ethanol molecules), and
nothing is donated: a state that was handed out stays valid and can be kept for going on later.

``advance`` is compiled once per force field, shape and process; parameters, masses, bonds and time
step are arguments. It runs on all local devices, each with its share of the replicas, or of the
bodies where there are more of those (:class:`Layout`).
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from fisherdash import devices
from fisherdash.simulate import failure, verlet
from fisherdash.simulate.groups import ForceField, Group
from fisherdash.simulate.state import ALIVE, State

_BUFFER_BYTES = 64 * 2**20


class Scenery(NamedTuple):
    """Numbers that a run does not change."""

    masses: Float[Any, " atoms"]
    pairs: Int[Any, "bonds 2"]
    lengths: Float[Any, " bonds"]
    timestep: Float[Any, ""]
    record_every: Int[Any, ""]


class Record(NamedTuple):
    """Buffers of frames; energies of the dead are NaN."""

    potential: Float[Any, "capacity heads replicas"]
    kinetic: Float[Any, "capacity heads replicas"]
    positions: Float[Any, "capacity heads replicas atoms 3"]
    velocities: Float[Any, "capacity heads replicas atoms 3"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which device has which part of a group.

    Attributes:
        mesh: of the axes "members" (bodies) and "replicas".
        members: whether the first axis of the parameters is that of the bodies.
    """

    mesh: jax.sharding.Mesh
    members: bool

    @classmethod
    def of(cls, group: Group, replicas: int) -> "Layout":
        """Over all local devices that can have equal shares."""
        mesh = devices.mesh(members=group.bodies, replicas=replicas)
        return cls(mesh, mesh.shape["members"] > 1)

    @property
    def params(self) -> P:
        """Of the parameters."""
        return P("members") if self.members else P()

    @property
    def state(self) -> State:
        """Of a state."""
        every = P("members", "replicas")
        return State(**dict.fromkeys(State._fields, every) | {"step": P()})

    @property
    def record(self) -> Record:
        """Of the recorded frames."""
        return Record(*(P(None, "members", "replicas") for _ in Record._fields))

    def put(self, tree: Any, parts: Any) -> Any:
        """Arrays on their devices."""
        places = jax.tree.map(
            lambda part: jax.NamedSharding(self.mesh, part), parts, is_leaf=_is_part
        )
        return jax.device_put(tree, places)


def _is_part(value: Any) -> bool:
    return isinstance(value, P)


@functools.partial(jax.jit, static_argnames=("force_field", "capacity", "layout"))
def advance(
    force_field: ForceField,
    capacity: int,
    layout: Layout,
    params: Any,
    state: State,
    scenery: Scenery,
    steps: Int[Array, ""],
) -> tuple[State, Record]:
    """Does ``steps`` steps and records the last state of every recording interval it touches.

    Frame f belongs to step f · record_every; slot 0 of the record is the first frame touched.
    """
    return jax.shard_map(
        functools.partial(_advance, force_field, capacity),
        mesh=layout.mesh,
        in_specs=(layout.params, layout.state, P(), P()),
        out_specs=(layout.state, layout.record),
        check_vma=False,  # nothing crosses between devices, so there is nothing to keep track of
    )(params, state, scenery, steps)


def _advance(
    force_field: ForceField,
    capacity: int,
    params: Any,
    state: State,
    scenery: Scenery,
    steps: Int[Array, ""],
) -> tuple[State, Record]:
    """The share of one device."""
    first_frame = frame_of(state.step + 1, scenery.record_every)

    def one_step(_: Any, carry: tuple[State, Record]) -> tuple[State, Record]:
        state, record = carry
        state = step(force_field, params, state, scenery)
        slot = frame_of(state.step, scenery.record_every) - first_frame
        frame = snapshot(state, scenery.masses)
        # Written at every step; what stays in a slot is the step at which its frame is due.
        record = jax.tree.map(lambda buffer, value: buffer.at[slot].set(value), record, frame)
        return state, record

    blank = jax.eval_shape(snapshot, state, scenery.masses)
    record = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), blank)
    return jax.lax.fori_loop(0, steps, one_step, (state, record))


def step(force_field: ForceField, params: Any, state: State, scenery: Scenery) -> State:
    """One step of all replicas: Verlet for the living, rest for the dead."""
    living = state.died_step == ALIVE

    def evaluate(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        moves = (living & failure.usable(positions))[..., None, None]
        energies, forces = force_field(params, jnp.where(moves, positions, state.positions))
        return jnp.asarray(energies, jnp.float64), jnp.asarray(forces, jnp.float64)

    length = jnp.where(state.step < 0, 0.0, scenery.timestep)
    moved = verlet.step(state.motion(), evaluate, scenery.masses, length)
    return failure.bury(state, moved, scenery.pairs, scenery.lengths)


def snapshot(state: State, masses: Float[Array, " atoms"]) -> Record:
    """The frame that is recorded of a state, without the axis of frames."""
    living = state.died_step == ALIVE
    return Record(
        potential=jnp.where(living, state.potential, jnp.nan),
        kinetic=jnp.where(living, verlet.kinetic_energy(state.momenta, masses), jnp.nan),
        positions=state.positions.astype(jnp.float32),
        velocities=(state.momenta / masses[:, None]).astype(jnp.float32),
    )


def frame_of(step: Any, record_every: Any) -> Any:
    """Number of the frame in which a step ends: 0 for step 0, 1 for steps 1 … record_every."""
    return (step + record_every - 1) // record_every


def steps_of_next_call(
    step: int, steps: int, record_every: int, capacity: int, affordable: float
) -> int:
    """How many steps a call may do.

    Either whole frames, at most ``capacity`` of them, or a part of the way to the next frame.

    Args:
        step: last step done, −1 in front of the first evaluation.
        steps: of the whole run.
        record_every: steps between frames.
        capacity: most frames of a call.
        affordable: steps that take as long as a call should last.
    """
    if step < 0:
        return 1
    to_next_frame = min((step // record_every + 1) * record_every, steps) - step
    if affordable < to_next_frame:
        return max(1, int(affordable))
    frames = min(int(affordable) // record_every, capacity)
    whole = frames * record_every if step % record_every == 0 else 0
    return min(max(whole, to_next_frame), steps - step)


def capacity_of(wanted: int, state: State) -> int:
    """Frames that a buffer holds: as many as wanted, unless they take too much memory."""
    heads, replicas, atoms, _ = np.shape(state.positions)
    frame_bytes = heads * replicas * (2 * 8 + 2 * 4 * 3 * atoms)
    return max(1, min(wanted, _BUFFER_BYTES // frame_bytes))


def device_name() -> str:
    """The devices that JAX uses, in words."""
    device, count = jax.local_devices()[0], jax.local_device_count()
    if device.platform == "cpu":
        return f"CPU, {devices.cores()} cores"
    many = f"{count} × " if count > 1 else ""
    return f"{many}{device.platform.upper()}, {device.device_kind}"
