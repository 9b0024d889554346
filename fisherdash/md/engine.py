"""The compiled loop of many heads and replicas, which records frames, and its groups of heads.

One compiled function, :func:`advance`, does a number of steps that is an argument, not a shape, and
writes its frames into a buffer of fixed capacity, of which the host keeps those that were filled.
So the first call can be a single step and the later ones as long as half a second takes on this
machine, without a second compilation; a call ends early in front of the last step; a long way
between two frames is cut into several calls, so that a cancelled run stops within about a second.
Where a call ends changes no bit of the result, because every step is the same compiled loop body.
The first evaluation of the forces is a step of zero length in the same loop: compiling a function
of its own for it would double the wait in front of the first frame.

State and buffers are small (0.2 MB for 64 ethanol molecules), and nothing is donated: a state that
was handed out stays valid and can be kept for resuming later. ``advance`` runs on all local
devices, each with its share of the replicas, or of the bodies where there are more of those
(:class:`Layout`).

Heads that are evaluated together are a group. Heads of one body are one flat batch: every molecule
carries its own head, and the body sees no difference. Bodies of one potential are stacked and
mapped over with ``vmap``. Only what differs in shape needs a loop of its own. A group is a pure
function, which identifies the compiled loop, and parameters, which are its arguments like masses,
bonds and time step: a run with other weights of the same shapes compiles nothing.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from fisherdash import devices
from fisherdash.md import failure, integrator
from fisherdash.md.integrator import State
from fisherdash.potentials.head import Head, HeadForm, energy_and_forces, joint_basis
from fisherdash.potentials.potential import Potential
from fisherdash.settings import Precision
from fisherdash.trajectories import SURVIVING

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint


ForceField = Callable[
    [Any, Float[Array, "heads replicas atoms 3"], Bool[Array, "heads replicas"]],
    tuple[Float[Array, "heads replicas"], Float[Array, "heads replicas atoms 3"]],
]
"""(parameters, positions in Å, which replicas move) → (energies in eV, forces in eV/Å); pure,
hashable. Numbers of replicas that do not move are not used, so they need not be computed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Heads that share one compiled loop.

    Attributes:
        names: of the heads, in the order in which ``force_field`` takes them.
        indices: of these heads among all heads of the run.
        force_field: equal and of equal hash for equal computations, so that compilations are
            found again.
        params: pytree of arrays, its first argument.
        bodies: length of the first axis of every array of ``params``, where that is the axis of
            bodies with equally many heads each; 1 where ``params`` belong together.
    """

    names: tuple[str, ...]
    indices: tuple[int, ...]
    force_field: ForceField
    params: Any
    bodies: int = 1

    def __post_init__(self) -> None:
        if len(self.names) != len(self.indices) or not self.names:
            raise ValueError(f"{self.names} heads of a group have the indices {self.indices}")


@dataclasses.dataclass(frozen=True)
class PotentialForceField:
    """One potential with several heads, on one set of its parameters or on several.

    Attributes:
        potential: what gives the features.
        form: of all heads.
        atomic_numbers: of the molecule.
    """

    potential: Potential
    form: HeadForm
    atomic_numbers: tuple[int, ...]

    def __call__(
        self,
        params: Any,
        positions: Float[Array, "heads replicas atoms 3"],
        moves: Bool[Array, "heads replicas"],
    ) -> tuple[jax.Array, jax.Array]:
        """``params``: bodies stacked along a first axis, and heads (bodies, heads each, …)."""
        numbers = jnp.array(self.atomic_numbers)
        heads, replicas, atoms = positions.shape[:3]
        bodies = params["heads"].linear.shape[0]
        each = heads // bodies * replicas

        def evaluate(body: Any, head: Head, molecules: jax.Array, wanted: jax.Array):
            """Energies and forces of the molecules of one body."""
            of_molecules = jax.tree.map(
                lambda leaf: jnp.repeat(leaf, replicas, axis=0), head._replace(basis=None)
            )
            head = of_molecules._replace(basis=head.basis)
            of_potential = self.potential, self.form, body, head, numbers
            return energy_and_forces(*of_potential, molecules, wanted)

        flat = jnp.reshape(positions, (bodies, each, atoms, 3)), jnp.reshape(moves, (bodies, each))
        if bodies == 1:  # a mapped axis of length one would only cost speed
            body, head = jax.tree.map(lambda leaf: leaf[0], (params["body"], params["heads"]))
            energies, forces = evaluate(body, head, *(part[0] for part in flat))
        else:
            energies, forces = jax.vmap(evaluate)(params["body"], params["heads"], *flat)
        return jnp.reshape(energies, (heads, replicas)), jnp.reshape(forces, positions.shape)


def group_checkpoints(
    checkpoints: Mapping[str, "Checkpoint"], atomic_numbers: np.ndarray, precision: Precision
) -> tuple[Group, ...]:
    """As few groups as the potentials and bodies of these checkpoints allow."""
    bodies: list[list[tuple[int, str]]] = []  # heads of one body, in the order of the mapping
    for index, (name, checkpoint) in enumerate(checkpoints.items()):
        for members in bodies:
            if _same_body(checkpoints[members[0][1]], checkpoint):
                members.append((index, name))
                break
        else:
            bodies.append([(index, name)])
    # Heads of all forms belong into one loop when their body is the same: all take the widest.
    shared = all(checkpoint.form.kind == "shared" for checkpoint in checkpoints.values())
    elements = () if shared else tuple(sorted(set(map(int, atomic_numbers))))
    written = dict(checkpoints)
    shapes: dict[Any, list[list[tuple[int, str]]]] = {}
    for members in bodies:
        chosen = [checkpoints[name] for _, name in members]
        potential = chosen[0].potential
        quadratic = [one.head_basis for one in chosen if one.form.kind == "quadratic"]
        basis = joint_basis(quadratic, potential.num_features) if quadratic else None
        kind = "shared" if shared else "quadratic" if quadratic else "by element"
        form = HeadForm(kind, elements, 0 if basis is None else basis.shape[1])
        written |= {name: checkpoints[name].in_form(form, basis) for _, name in members}
        shapes.setdefault((potential, form, len(members)), []).append(members)
    return tuple(
        _group(potential, form, stacked, written, atomic_numbers, precision)
        for (potential, form, _), stacked in shapes.items()
    )


def _group(
    potential: Potential,
    form: HeadForm,
    stacked: list[list[tuple[int, str]]],
    checkpoints: Mapping[str, "Checkpoint"],
    atomic_numbers: np.ndarray,
    precision: Precision,
) -> Group:
    firsts = [checkpoints[members[0][1]] for members in stacked]
    # Sums over descriptors are double precision in any case: it costs nothing beside the network.
    weights = np.asarray([[checkpoints[name].head for _, name in members] for members in stacked])
    bases = [one.head_basis for one in firsts if one.head_basis is not None]
    params = {
        "body": jax.tree.map(
            lambda *leaves: np.stack(leaves).astype(precision), *(one.body for one in firsts)
        ),
        "heads": Head.of(form, potential.num_features, weights, np.stack(bases) if bases else None),
    }
    members = [member for group in stacked for member in group]
    numbers = tuple(int(number) for number in atomic_numbers)
    return Group(
        names=tuple(name for _, name in members),
        indices=tuple(index for index, _ in members),
        force_field=PotentialForceField(potential, form, numbers),
        params=params,
        bodies=len(stacked),
    )


def _same_body(first: "Checkpoint", second: "Checkpoint") -> bool:
    if first.potential != second.potential:
        return False
    if first.body is second.body:
        return True
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, first.body, second.body)))


_BUFFER_BYTES = 64 * 2**20


class RunConstants(NamedTuple):
    """Numbers that a run does not change."""

    masses: Float[Any, " atoms"]
    pairs: Int[Any, "bonds 2"]
    lengths: Float[Any, " bonds"]
    limits: Float[Any, "atoms atoms"]
    timestep: Float[Any, ""]
    record_every: Int[Any, ""]


class Record(NamedTuple):
    """Buffers of frames; energies are NaN after a failure."""

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
        """Sharding of the parameters."""
        return P("members") if self.members else P()

    @property
    def state(self) -> State:
        """Sharding of a state."""
        every = P("members", "replicas")
        return State(**dict.fromkeys(State._fields, every) | {"step": P()})

    @property
    def record(self) -> Record:
        """Sharding of the recorded frames."""
        return Record(*(P(None, "members", "replicas") for _ in Record._fields))

    def put(self, tree: Any, parts: Any) -> Any:
        """Arrays on their devices."""
        places = jax.tree.map(
            lambda part: jax.NamedSharding(self.mesh, part),
            parts,
            is_leaf=lambda part: isinstance(part, P),
        )
        return jax.device_put(tree, places)


@functools.partial(jax.jit, static_argnames=("force_field", "capacity", "layout"))
def advance(
    force_field: ForceField,
    capacity: int,
    layout: Layout,
    params: Any,
    state: State,
    constants: RunConstants,
    steps: Int[Array, ""],
) -> tuple[State, Record]:
    """Does ``steps`` steps and records the last state of every recording interval it touches.

    Frame f belongs to step f · record_every; slot 0 of the record is the first frame touched.
    """

    def share(
        params: Any, state: State, constants: RunConstants, steps: Int[Array, ""]
    ) -> tuple[State, Record]:
        """The share of one device."""
        first_frame = frame_of(state.step + 1, constants.record_every)

        def one_step(_: Any, carry: tuple[State, Record]) -> tuple[State, Record]:
            """One step, written into the slot of its frame."""
            state, record = carry
            state = step(force_field, params, state, constants)
            slot = frame_of(state.step, constants.record_every) - first_frame
            frame = _snapshot(state, constants.masses)
            # Written at every step; what stays in a slot is the step at which its frame is due.
            record = jax.tree.map(lambda buffer, value: buffer.at[slot].set(value), record, frame)
            return state, record

        blank = jax.eval_shape(_snapshot, state, constants.masses)
        record = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), blank)
        return jax.lax.fori_loop(0, steps, one_step, (state, record))

    return jax.shard_map(
        share,
        mesh=layout.mesh,
        in_specs=(layout.params, layout.state, P(), P()),
        out_specs=(layout.state, layout.record),
        check_vma=False,  # nothing crosses between devices, so there is nothing to keep track of
    )(params, state, constants, steps)


def step(force_field: ForceField, params: Any, state: State, constants: RunConstants) -> State:
    """One step of all replicas: velocity Verlet; failed replicas are frozen."""
    surviving = state.failed_step == SURVIVING

    def evaluate(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Energies and forces; failed replicas stay where they are."""
        moves = surviving & failure.finite(positions)
        known = jnp.where(moves[..., None, None], positions, state.positions)
        energies, forces = force_field(params, known, moves)
        return jnp.asarray(energies, jnp.float64), jnp.asarray(forces, jnp.float64)

    length = jnp.where(state.step < 0, 0.0, constants.timestep)
    moved = integrator.step(state.motion(), evaluate, constants.masses, length)
    return failure.mark_failed(state, moved, constants.pairs, constants.lengths, constants.limits)


def _snapshot(state: State, masses: Float[Array, " atoms"]) -> Record:
    """The frame that is recorded of a state, without the axis of frames."""
    surviving = state.failed_step == SURVIVING
    return Record(
        potential=jnp.where(surviving, state.potential, jnp.nan),
        kinetic=jnp.where(surviving, integrator.kinetic_energy(state.momenta, masses), jnp.nan),
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
