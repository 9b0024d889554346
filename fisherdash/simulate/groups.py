"""Which heads can be evaluated together, and how.

Two heads of one body are one flat batch: every molecule of the batch carries its own head, and the
body sees no difference. Bodies of one configuration are stacked and mapped over with ``vmap``.
Only what differs in shape needs a loop of its own. A group is therefore a pure function, which
identifies the compiled loop, and parameters, which are its arguments: a second run with other
weights of the same shapes compiles nothing.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.model import ModelConfig, energy_and_forces
from fisherdash.simulate.settings import Precision

if TYPE_CHECKING:
    from fisherdash.checkpoint import Checkpoint

ForceField = Callable[
    [Any, Float[Array, "heads replicas atoms 3"]],
    tuple[Float[Array, "heads replicas"], Float[Array, "heads replicas atoms 3"]],
]
"""(parameters, positions in Å) → (energies in eV, forces in eV/Å); pure, hashable."""


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
class NetworkForceField:
    """The network of one configuration with several heads, on one body or on several.

    Attributes:
        config: of the network.
        atomic_numbers: of the molecule.
    """

    config: ModelConfig
    atomic_numbers: tuple[int, ...]

    def __call__(
        self, params: Any, positions: Float[Array, "heads replicas atoms 3"]
    ) -> tuple[jax.Array, jax.Array]:
        """``params``: bodies stacked along a first axis, and heads (bodies, heads each, D)."""
        numbers = jnp.array(self.atomic_numbers)
        heads, replicas, atoms = positions.shape[:3]
        bodies = params["heads"].shape[0]
        each = heads // bodies * replicas

        def evaluate(body: Any, thetas: jax.Array, molecules: jax.Array):
            thetas = jnp.repeat(thetas, replicas, axis=0)
            return energy_and_forces(self.config, body, thetas, numbers, molecules)

        flat = jnp.reshape(positions, (bodies, each, atoms, 3))
        if bodies == 1:  # a mapped axis of length one would only cost speed
            body = jax.tree.map(lambda leaf: leaf[0], params["body"])
            energies, forces = evaluate(body, params["heads"][0], flat[0])
        else:
            energies, forces = jax.vmap(evaluate)(params["body"], params["heads"], flat)
        return jnp.reshape(energies, (heads, replicas)), jnp.reshape(forces, positions.shape)


def group_checkpoints(
    checkpoints: Mapping[str, "Checkpoint"], atomic_numbers: np.ndarray, precision: Precision
) -> tuple[Group, ...]:
    """As few groups as the configurations and bodies of these checkpoints allow."""
    if any(checkpoint.config.head_elements for checkpoint in checkpoints.values()):
        # Heads by element and shared ones belong into one loop when their body is the same.
        checkpoints = {
            name: checkpoint.by_element(map(int, atomic_numbers))
            for name, checkpoint in checkpoints.items()
        }
    bodies: list[list[tuple[int, str]]] = []  # heads of one body, in the order of the mapping
    for index, (name, checkpoint) in enumerate(checkpoints.items()):
        for members in bodies:
            if _same_body(checkpoints[members[0][1]], checkpoint):
                members.append((index, name))
                break
        else:
            bodies.append([(index, name)])

    shapes: dict[tuple[ModelConfig, int], list[list[tuple[int, str]]]] = {}
    for members in bodies:
        shapes.setdefault((checkpoints[members[0][1]].config, len(members)), []).append(members)
    return tuple(
        _group(config, stacked, checkpoints, atomic_numbers, precision)
        for (config, _), stacked in shapes.items()
    )


def _group(
    config: ModelConfig,
    stacked: list[list[tuple[int, str]]],
    checkpoints: Mapping[str, "Checkpoint"],
    atomic_numbers: np.ndarray,
    precision: Precision,
) -> Group:
    bodies = [checkpoints[members[0][1]].body for members in stacked]
    heads = [[checkpoints[name].head for _, name in members] for members in stacked]
    params = {
        "body": jax.tree.map(lambda *leaves: np.stack(leaves).astype(precision), *bodies),
        # θ·D is summed in double precision in any case: it costs nothing beside the network.
        "heads": np.asarray(heads, np.float64),
    }
    members = [member for group in stacked for member in group]
    numbers = tuple(int(number) for number in atomic_numbers)
    return Group(
        names=tuple(name for _, name in members),
        indices=tuple(index for index, _ in members),
        force_field=NetworkForceField(config, numbers),
        params=params,
        bodies=len(stacked),
    )


def _same_body(first: "Checkpoint", second: "Checkpoint") -> bool:
    if first.config != second.config:
        return False
    if first.body is second.body:
        return True
    pairs = zip(_leaves(first.body), _leaves(second.body), strict=True)
    return all(a_path == b_path and np.array_equal(a, b) for (a_path, a), (b_path, b) in pairs)


def _leaves(body: Any) -> Iterator[tuple[Any, np.ndarray]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(body):
        yield path, np.asarray(leaf)
