"""The sums over frames that the re-fit needs, in one streaming pass.

With G(x) = ∂D/∂x, shape (3N, D), and F_ref = −∇U, the Fisher divergence between the data and the
model with head θ is, up to the factor β² that cancels in its minimum,

    J(θ) = ½ θᵀTθ − θᵀc + ½ E|∇U|²,    T = E[GᵀG],    c = E[Gᵀ∇U] = −E[Gᵀ F_ref],

so that θ* = +T⁻¹c. Where the frames are a Boltzmann sample at temperature T_b, integration by parts
gives the same right-hand side without forces, c = kT_b E[ΔD] (Hyvärinen, J. Mach. Learn. Res. 6,
695 (2005)).
Beside these, moments of (D, U) are kept, which give the energy error of any head and its constant.

The element biases have no gradient and are left out: with them T would be singular.

The normal equations of one re-fit, whatever they were made from.

Every way to a head minimises a quadratic

    L(θ) = ½ θᵀAθ − θᵀb + ½ s,

per frame, in eV²/Å². From forces A = T = E[GᵀG], b = E[Gᵀ∇U], s = E|∇U|². From Laplacians b is
kT E[ΔD] and s is unknown. Where energies count too, w times the variance of the energy error is
added, with C the covariances over frames and the constant of the energy already at its best:

    A = T + 3N w C[D, D],    b = E[Gᵀ∇U] + 3N w C[D, U],    s = E|∇U|² + 3N w Var U,

so that w (in Å⁻²) weighs the squared energy error of a molecule against the mean squared component
of a force, as the loss of a training does.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Integer

from fisherdash import devices
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher import derivatives
from fisherdash.fisher.derivatives import is_bent
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.e3x import Body
from fisherdash.settings import ModelConfig
from fisherdash.units import BOLTZMANN

BLOCK = 32


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums over frames; those of two data sets add.

    Attributes:
        frames: number of frames M.
        components: 3N, numbers in one frame's forces.
        gram: Σ GᵀG, shape (D, D), in (eV-free) Å⁻².
        gradient: Σ Gᵀ∇U, shape (D,), eV/Å².
        laplacian: Σ ΔD, shape (D,), Å⁻²; None where it was not asked for.
        force_squared: Σ|∇U|², eV²/Å².
        energy: Σ (D, U)(D, U)ᵀ with U in eV relative to ``energy_origin``, shape (D+1, D+1).
        energy_sum: Σ (D, U), shape (D+1,).
        energy_origin: eV, subtracted from every energy before the sums to keep their digits.
    """

    frames: int
    components: int
    gram: Float[np.ndarray, "d d"]
    gradient: Float[np.ndarray, " d"]
    laplacian: Float[np.ndarray, " d"] | None
    force_squared: float
    energy: Float[np.ndarray, "d1 d1"]
    energy_sum: Float[np.ndarray, " d1"]
    energy_origin: float

    def __add__(self, other: "Moments") -> "Moments":
        """The sums over both sets of frames."""
        shifted = other.with_origin(self.energy_origin)
        laplacian = None
        if self.laplacian is not None and other.laplacian is not None:
            laplacian = self.laplacian + other.laplacian
        return Moments(
            frames=self.frames + other.frames,
            components=self.components,
            gram=self.gram + other.gram,
            gradient=self.gradient + other.gradient,
            laplacian=laplacian,
            force_squared=self.force_squared + other.force_squared,
            energy=self.energy + shifted.energy,
            energy_sum=self.energy_sum + shifted.energy_sum,
            energy_origin=self.energy_origin,
        )

    def with_origin(self, origin: float) -> "Moments":
        """The same sums with energies relative to another origin in eV."""
        shift = np.zeros(len(self.energy_sum))
        shift[-1] = self.energy_origin - origin
        cross = np.outer(self.energy_sum, shift)
        return dataclasses.replace(
            self,
            energy=self.energy + cross + cross.T + self.frames * np.outer(shift, shift),
            energy_sum=self.energy_sum + self.frames * shift,
            energy_origin=origin,
        )

    def divergence(self, head: Float[np.ndarray, " d"]) -> float:
        """Fisher divergence ½ E|∇U_θ − ∇U|² without its factor β², in eV²/Å²."""
        quadratic = head @ self.gram @ head - 2 * head @ self.gradient + self.force_squared
        return float(max(quadratic, 0.0) / (2 * self.frames))

    def divergence_gradient(self, head: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """∂J/∂θ = Tθ − c, shape (D,)."""
        return (self.gram @ head - self.gradient) / self.frames

    def force_rmse(self, head: Float[np.ndarray, " d"]) -> float:
        """Root-mean-square error of the force components in eV/Å: √(2J/3N)."""
        return float(np.sqrt(2 * self.divergence(head) / self.components))

    def constant(self, head: Float[np.ndarray, " d"]) -> float:
        """The constant in eV that makes the mean energy of these frames right."""
        *d, u = self.energy_sum / self.frames
        return float(u - np.dot(d, head) + self.energy_origin)

    def energy_rmse(self, head: Float[np.ndarray, " d"], constant: float) -> float:
        """Root-mean-square error of the energies in eV with this head and constant."""
        offset = self.energy_origin - constant
        v = np.append(head, -1.0)
        mean, square = v @ self.energy_sum / self.frames, v @ self.energy @ v / self.frames
        return float(np.sqrt(max(square - 2 * offset * mean + offset**2, 0.0)))


def accumulate(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    laplacian: bool = False,
    precision: str = "float32",
    cancel: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Moments:
    """Passes over the data set once, in blocks of constant memory.

    Args:
        checkpoint: whose body gives the descriptors; its head plays no part.
        dataset: frames with forces.
        laplacian: whether to sum the Laplacians ΔD too, which takes about three times as long.
        precision: of the network ("float32" or "float64"); the sums are always float64.
        cancel: set it to stop between two blocks.
        progress: called with the frames done and their total after every block.

    Raises:
        InputError: if the molecule does not fit the model, or the pass was cancelled.
    """
    groups = accumulate_groups(
        checkpoint,
        dataset,
        groups=1,
        laplacian=laplacian,
        precision=precision,
        cancel=cancel,
        progress=progress,
    )
    return groups[0]


def accumulate_groups(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    groups: int,
    laplacian: bool = False,
    probes: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    cancel: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Moments, ...]:
    """The same, with separate sums for so many groups of consecutive frames (at most).

    With ``probes`` the Laplacians are estimated from so many random directions a frame, drawn
    with ``seed``, in place of all 3N.
    """
    checkpoint.check_elements(dataset.atomic_numbers)
    body = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), checkpoint.body)
    atomic_numbers = jnp.asarray(dataset.atomic_numbers)
    origin, total = float(dataset.energies.mean()), len(dataset)
    internal = is_bent(dataset.positions)
    mesh = devices.line("frames")
    block = BLOCK * mesh.size
    key = jax.random.key(seed)
    members = np.array_split(np.arange(total), min(groups, total))
    group = np.repeat(np.arange(len(members)), [len(part) for part in members])
    sums: list[np.ndarray] = []
    for first in range(0, total, block):
        if cancel is not None and cancel.is_set():
            raise InputError(f"the solve was cancelled after {first} of {total} frames")
        last = min(first + block, total)
        # One shape to compile: the last block is filled up with its last frame.
        chosen = np.minimum(np.arange(first, first + block), total - 1)
        # A key for every BLOCK frames, whichever device has them.
        numbers = jnp.arange(first // BLOCK, first // BLOCK + mesh.size)
        terms = _terms(
            checkpoint.config,
            (probes or True) if laplacian else False,
            internal,
            mesh,
            jax.vmap(functools.partial(jax.random.fold_in, key))(numbers),
            body,
            atomic_numbers,
            jnp.asarray(dataset.positions[chosen]),
            jnp.asarray(-dataset.forces[chosen]),
            jnp.asarray(dataset.energies[chosen] - origin),
        )
        # A block may hold frames of several groups.
        terms = [np.asarray(term)[: last - first] for term in terms]
        sums = sums or [np.zeros((len(members), *term.shape[1:])) for term in terms]
        for total_of, term in zip(sums, terms, strict=True):
            np.add.at(total_of, group[first:last], term)
        if progress is not None:
            progress(last, total)
    return tuple(
        _moments([one[index] for one in sums], len(part), dataset.num_atoms, origin, laplacian)
        for index, part in enumerate(members)
    )


def _moments(
    sums: Sequence[np.ndarray], frames: int, atoms: int, origin: float, laplacian: bool
) -> Moments:
    gram, gradient, curvature, force_squared, energy, energy_sum = sums
    return Moments(
        frames=frames,
        components=3 * atoms,
        gram=(gram + gram.T) / 2,
        gradient=gradient,
        laplacian=curvature if laplacian else None,
        force_squared=float(force_squared),
        energy=energy,
        energy_sum=energy_sum,
        energy_origin=origin,
    )


@functools.partial(jax.jit, static_argnames=("config", "laplacian", "internal", "mesh"))
def _terms(
    config: ModelConfig,
    laplacian: bool | int,
    internal: bool,
    mesh: jax.sharding.Mesh,
    keys: Array,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    energy_gradient: Float[Array, "frames atoms 3"],
    energies: Float[Array, " frames"],
) -> tuple[Array, ...]:
    """What each frame adds to the sums; the frames are the first axis of every array.

    Each device of ``mesh`` has BLOCK of the frames, and a key.
    """
    each, all_of_it = P("frames"), P()
    return jax.shard_map(
        functools.partial(_terms_of_block, config, laplacian, internal),
        mesh=mesh,
        in_specs=(each, all_of_it, all_of_it, each, each, each),
        out_specs=each,
        check_vma=False,  # nothing crosses between devices
    )(keys, body, atomic_numbers, positions, energy_gradient, energies)


def _terms_of_block(
    config: ModelConfig,
    laplacian: bool | int,
    internal: bool,
    keys: Array,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    energy_gradient: Float[Array, "frames atoms 3"],
    energies: Float[Array, " frames"],
) -> tuple[Array, ...]:
    network = (config, body, atomic_numbers, positions)
    if laplacian is True:
        values, g, curvature = derivatives.jacobian_and_laplacian(*network, internal=internal)
    elif laplacian:
        values, g, curvature = derivatives.jacobian_and_estimate(
            *network, laplacian, keys[0], internal=internal
        )
    else:
        values, g, curvature = derivatives.jacobian(*network, internal=internal)
    g = g.astype(jnp.float64)
    u = energy_gradient.reshape(positions.shape[0], -1)
    joint = jnp.concatenate([values.astype(jnp.float64), energies[:, None]], axis=1)
    return (
        jnp.einsum("mxd,mxe->mde", g, g),
        jnp.einsum("mxd,mx->md", g, u),
        curvature.astype(jnp.float64),
        jnp.sum(u * u, axis=1),
        joint[:, :, None] * joint[:, None, :],
        joint,
    )


@dataclasses.dataclass(frozen=True)
class Equations:
    """½ θᵀAθ − θᵀb + ½ s over a set of frames.

    Attributes:
        matrix: A, shape (D, D), Å⁻².
        target: b, shape (D,), eV/Å².
        square: s, eV²/Å²; None for the fit without forces, which never knows it.
        rows: scalar equations behind the sums: 3N for each frame, one more with energies.
    """

    matrix: Float[np.ndarray, "d d"]
    target: Float[np.ndarray, " d"]
    square: float | None
    rows: int

    def loss(self, head: Float[np.ndarray, " d"]) -> float:
        """L(θ) without the part ½ s that no head changes, eV²/Å²."""
        return float(0.5 * head @ self.matrix @ head - head @ self.target)

    @functools.cached_property
    def spectrum(self) -> "Spectrum":
        """Eigendecomposition of A in float64."""
        values, vectors = np.linalg.eigh(self.matrix)
        values, vectors = values[::-1], vectors[:, ::-1]
        threshold = len(values) * np.finfo(float).eps * max(values[0], 0.0)
        return Spectrum(np.maximum(values, 0.0), vectors, int(np.sum(values > threshold)))


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigendecomposition of A, eigenvalues falling.

    Attributes:
        values: eigenvalues, shape (D,), Å⁻².
        vectors: eigenvectors as columns, shape (D, D).
        rank: number of eigenvalues that are not zero to rounding.
    """

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    rank: int

    @property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue; infinite if some direction is not determined."""
        full = self.rank == len(self.values)
        return float(self.values[0] / self.values[-1]) if full else float("inf")

    def effective_dof(self, ridge: float) -> float:
        """Σ_k Λ_k/(Λ_k + λ): the number of directions that the data decide at this ridge."""
        kept = self.values[: self.rank]
        return float(np.sum(kept / (kept + ridge * self.values[0]))) if self.rank else 0.0


def equations(
    moments: Moments, temperature: float | None = None, energy_weight: float = 0.0
) -> Equations:
    """The normal equations of these frames.

    Args:
        moments: sums over the frames.
        temperature: None for the fit from forces; in K for the one from positions alone.
        energy_weight: w in Å⁻², from forces only.

    Raises:
        ValueError: for Laplacians that were not summed, or energies beside them.
    """
    frames, size = moments.frames, len(moments.gradient)
    matrix = moments.gram / frames
    if temperature is not None:
        if moments.laplacian is None:
            raise ValueError("the sums were accumulated without Laplacians")
        if energy_weight:
            raise ValueError("the fit without forces takes no energies either")
        target = BOLTZMANN * temperature * moments.laplacian / frames
        return Equations(matrix, target, None, frames * moments.components)
    target, square = moments.gradient / frames, moments.force_squared / frames
    rows = frames * moments.components
    if energy_weight:
        mean = moments.energy_sum / frames
        covariance = moments.energy / frames - np.outer(mean, mean)
        weight = moments.components * energy_weight
        matrix = matrix + weight * covariance[:size, :size]
        target = target + weight * covariance[:size, size]
        square += weight * float(covariance[size, size])
        rows += frames
    return Equations(matrix, target, square, rows)
