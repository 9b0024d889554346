"""The sums over frames that the re-fit needs, in one streaming pass.

With G(x) = ∂D/∂x, shape (3N, D), and F_ref = −∇U, the Fisher divergence between the data and the
model with head θ is, up to the factor β² that cancels in its minimum,

    J(θ) = ½ θᵀTθ − θᵀc + ½ E|∇U|²,    T = E[GᵀG],    c = E[Gᵀ∇U] = −E[Gᵀ F_ref],

so that θ* = +T⁻¹c. Where the frames are a Boltzmann sample at temperature T_b, integration by parts
gives the same right-hand side without forces, c = kT_b E[ΔD] (Hyvärinen, J. Mach. Learn. Res. 6,
695 (2005)). D stands for the descriptors of any form of head. Where a potential has a fixed part
U₀ that no head changes, U − U₀ takes the place of U, and E[Gᵀ∇U₀] is subtracted from kT_b E[ΔD].
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
import itertools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Integer

from fisherdash import devices
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives, is_bent
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.form import HeadForm
from fisherdash.potentials.potential import Parameters, Potential, as_precision
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
        fixed: Σ Gᵀ∇U₀, shape (D,), eV/Å²; None where U₀ is zero. U is U − U₀ in all other sums.
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
    fixed: Float[np.ndarray, " d"] | None = None

    def __add__(self, other: "Moments") -> "Moments":
        """The sums over both sets of frames."""
        shifted = other.with_origin(self.energy_origin)
        return Moments(
            frames=self.frames + other.frames,
            components=self.components,
            gram=self.gram + other.gram,
            gradient=self.gradient + other.gradient,
            laplacian=_sum(self.laplacian, other.laplacian),
            force_squared=self.force_squared + other.force_squared,
            energy=self.energy + shifted.energy,
            energy_sum=self.energy_sum + shifted.energy_sum,
            energy_origin=self.energy_origin,
            fixed=_sum(self.fixed, other.fixed),
        )

    @property
    def work(self) -> Float[np.ndarray, " d"]:
        """Σ Gᵀ∇U of the whole energy, which Boltzmann's kT E[ΔD] is compared with."""
        return self.gradient if self.fixed is None else self.gradient + self.fixed

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


def _sum(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return None if one is None or other is None else one + other


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
        checkpoint: whose body and form of head give the descriptors; its weights play no part.
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
    params = as_precision(checkpoint.potential, checkpoint.body, precision)
    atomic_numbers = jnp.asarray(dataset.atomic_numbers)
    origin, total = float(dataset.energies.mean()), len(dataset)
    internal = is_bent(dataset.positions)
    mesh = devices.line("frames")
    block = BLOCK * mesh.size
    key = jax.random.key(seed)
    members = np.array_split(np.arange(total), min(groups, total))
    sums = [_Sums() for _ in members]
    for chosen, new in devices.blocks(total, block):
        first, last = int(chosen[0]), int(chosen[0]) + new
        if cancel is not None and cancel.is_set():
            raise InputError(f"the solve was cancelled after {first} of {total} frames")
        # A key for every BLOCK frames, whichever device has them.
        numbers = jnp.arange(first // BLOCK, first // BLOCK + mesh.size)
        found = _derivatives(
            checkpoint.potential,
            checkpoint.form,
            (probes or True) if laplacian else False,
            internal,
            mesh,
            jax.vmap(functools.partial(jax.random.fold_in, key))(numbers),
            params,
            checkpoint.head_basis,
            atomic_numbers,
            jnp.asarray(dataset.positions[chosen]),
        )
        found = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), found)
        # A block may hold frames of several groups. Sums go by BLOCK, so that their order does not
        # depend on the number of devices.
        blocks = [(start, min(start + BLOCK, last)) for start in range(first, last, BLOCK)]
        for (start, end), (part, of_group) in itertools.product(
            blocks, zip(members, sums, strict=True)
        ):
            rows = part[(part >= start) & (part < end)]
            if len(rows):
                at = slice(rows[0] - first, rows[-1] - first + 1)
                mine = jax.tree.map(lambda leaf, at=at: leaf[at], found)
                of_group.add(mine, -dataset.forces[rows], dataset.energies[rows] - origin)
        if progress is not None:
            progress(last, total)
    return tuple(
        of_group.moments(len(part), 3 * dataset.num_atoms, origin)
        for part, of_group in zip(members, sums, strict=True)
    )


class _Sums:
    """Running sums over the frames of one group."""

    def __init__(self) -> None:
        self._terms: list[Any] = []

    def add(
        self,
        found: Derivatives,
        energy_gradient: Float[np.ndarray, "frames atoms 3"],
        energies: Float[np.ndarray, " frames"],
    ) -> None:
        """Adds these frames."""
        g = found.jacobian.reshape(-1, found.jacobian.shape[-1])
        u, fixed = energy_gradient.reshape(-1), None
        if found.fixed is not None:
            slope = found.fixed.gradient.reshape(-1)
            u, energies, fixed = u - slope, energies - found.fixed.energy, slope @ g
        joint = np.concatenate([found.values, energies[:, None]], axis=1)
        curvature = None if found.laplacian is None else found.laplacian.sum(axis=0)
        terms = [g.T @ g, u @ g, curvature, u @ u, joint.T @ joint, joint.sum(axis=0), fixed]
        if not self._terms:
            self._terms = terms
            return
        for index, term in enumerate(terms):
            if term is not None:
                self._terms[index] += term  # in place: matrices of many descriptors are large

    def moments(self, frames: int, components: int, origin: float) -> Moments:
        """The finished sums."""
        gram, gradient, curvature, force_squared, energy, energy_sum, fixed = self._terms
        return Moments(
            frames=frames,
            components=components,
            gram=gram,
            gradient=gradient,
            laplacian=curvature,
            force_squared=float(force_squared),
            energy=energy,
            energy_sum=energy_sum,
            energy_origin=origin,
            fixed=fixed,
        )


@functools.partial(jax.jit, static_argnames=("potential", "form", "laplacian", "internal", "mesh"))
def _derivatives(
    potential: Potential,
    form: HeadForm,
    laplacian: bool | int,
    internal: bool,
    mesh: jax.sharding.Mesh,
    keys: Array,
    params: Parameters,
    basis: Float[Array, "features r"] | None,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Derivatives:
    """Of a block of frames; each device of ``mesh`` has BLOCK of them, and a key."""

    def of_block(keys: Array, params: Parameters, basis: Any, numbers: Array, x: Array):
        return Derivatives.of(
            potential,
            form,
            params,
            basis,
            numbers,
            x,
            laplacian=laplacian,
            key=keys[0],
            internal=internal,
        )

    each, all_of_it = P("frames"), P()
    return jax.shard_map(
        of_block,
        mesh=mesh,
        in_specs=(each, all_of_it, all_of_it, all_of_it, each),
        out_specs=each,
        check_vma=False,  # nothing crosses between devices
    )(keys, params, basis, atomic_numbers, positions)


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
        if moments.fixed is not None:
            target = target - moments.fixed / frames
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
