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

The metric B of the ridge, ½λ (θ − θ₀)ᵀB(θ − θ₀), is the identity or the Gram matrix of forces where
there are no data, T_σ = E[G(x + sξ)ᵀG(x + sξ)] over frames x of the data, s uniform in a range and
ξ normal: no label is needed to say that forces there are to stay as they were. One decomposition
serves all λ: AV = BVμ with VᵀBV = 1, where directions that B does not know are left out.
"""

import dataclasses
import functools
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Integer

from fisherdash import devices
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives, is_bent
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import HeadForm
from fisherdash.potentials.potential import Parameters, Potential, as_precision
from fisherdash.settings import Options
from fisherdash.units import BOLTZMANN

BLOCK = 32
MATRIX_BYTES = 400 * 2**20
"""Memory for the square matrices of all groups of a pass; there are fewer groups where it ends."""
NULL = 1e-14
"""Eigenvalues of T_σ below so much of the largest are zero, its diagonal scaled to one first.

In their directions forces change by 1e-7 of what they change by elsewhere, which is what a network
in single precision can tell apart, and the sums themselves hold no more digits.
"""


class Part(NamedTuple):
    """Vectors over the frames of one group: Σ Gᵀ∇U of the whole energy, eV/Å², and Σ ΔD, Å⁻²."""

    frames: int
    work: Float[np.ndarray, " d"]
    laplacian: Float[np.ndarray, " d"] | None


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
        groups: vectors of smaller groups of consecutive frames that were summed here, because so
            many matrices would not fit into memory; empty where there are none.
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
    groups: tuple[Part, ...] = ()

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
    def parts(self) -> tuple[Part, ...]:
        """The smallest groups of frames that vectors are known of."""
        return self.groups or (Part(self.frames, self.work, self.laplacian),)

    def narrowed(self, sums: Float[np.ndarray, "d e"]) -> "Moments":
        """The sums of the descriptors Sᵀφ, for S of shape (D, e): a sub-block is enough of these.

        A shared head's descriptors are sums of those by element.
        """
        joint = scipy.linalg.block_diag(sums, 1.0)

        def of(vector: np.ndarray | None) -> Any:
            """Sᵀv of a vector, None where there is none."""
            return None if vector is None else vector @ sums

        return dataclasses.replace(
            self,
            gram=sums.T @ self.gram @ sums,
            gradient=of(self.gradient),
            laplacian=of(self.laplacian),
            energy=joint.T @ self.energy @ joint,
            energy_sum=self.energy_sum @ joint,
            fixed=of(self.fixed),
            groups=tuple(Part(p.frames, of(p.work), of(p.laplacian)) for p in self.groups),
        )

    @property
    def work(self) -> Float[np.ndarray, " d"]:
        """Σ Gᵀ∇U of the whole energy, which Boltzmann's kT E[ΔD] is compared with."""
        return self.gradient if self.fixed is None else self.gradient + self.fixed

    def with_origin(self, origin: float) -> "Moments":
        """The same sums with energies relative to another origin in eV."""
        if origin == self.energy_origin:
            return self
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
        return float(self.divergences(head[None])[0])

    def divergences(self, heads: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
        """:meth:`divergence` of several heads."""
        squares = np.sum((heads @ self.gram) * heads, axis=1)
        squares += self.force_squared - 2 * heads @ self.gradient
        return np.maximum(squares, 0.0) / (2 * self.frames)

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
    groups: int = 1,
    laplacian: bool = False,
    probes: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    monitor: Monitor = UNWATCHED,
) -> tuple[Moments, ...]:
    """Passes over the data set once, in blocks of constant memory; sums by group of frames.

    Square matrices of all groups take at most :data:`MATRIX_BYTES`. Where that is too little, every
    k-th group is summed into one of fewer, an even number, whose ``parts`` are the vectors of each.

    Args:
        checkpoint: whose body and form of head give the descriptors; its weights play no part.
        dataset: frames with forces.
        groups: how many groups of consecutive frames, at most.
        laplacian: whether to sum the Laplacians ΔD too, which takes about three times as long.
        probes: random directions a frame from which Laplacians are estimated; exact ones if None.
        seed: of these directions.
        precision: of the network ("float32" or "float64"); the sums are always float64.
        monitor: told the share done after every block, where it may stop the pass.

    Raises:
        InputError: if the molecule does not fit the model, or the pass was cancelled.
    """
    checkpoint.check_elements(dataset.atomic_numbers)
    origin, total = float(dataset.energies.mean()), len(dataset)
    members = np.array_split(np.arange(total), min(groups, total))
    fewer = _fewer(len(members), checkpoint.form.size(checkpoint.potential.num_features))
    matrices = [_Matrices() for _ in range(fewer)]
    sums = [_Sums(rows, matrices[index % fewer]) for index, rows in enumerate(members)]
    blocks = derivatives_of(
        checkpoint,
        dataset.atomic_numbers,
        dataset.positions,
        laplacian=(probes or True) if laplacian else False,
        seed=seed,
        precision=precision,
        monitor=monitor,
    )
    for first, found in blocks:
        for of_group in sums:  # a block may hold frames of several groups
            of_group.add_block(first, found, dataset, origin)
    found = [of_group.moments(3 * dataset.num_atoms, origin) for of_group in sums]
    if fewer == len(members):
        return tuple(found)
    return tuple(_summed(found[index::fewer]) for index in range(fewer))


def _fewer(groups: int, size: int) -> int:
    """How many groups there are matrices for; an even number where not for all."""
    most = MATRIX_BYTES // (2 * 8 * size**2)
    return groups if most >= groups else min(groups, max(2, most // 2 * 2))


def _summed(groups: list[Moments]) -> Moments:
    """Groups that share their matrices as one."""
    vectors = [dataclasses.replace(one, gram=0.0, energy=0.0) for one in groups]
    total = functools.reduce(operator.add, vectors)
    parts = tuple(part for one in groups for part in one.parts)
    return dataclasses.replace(total, gram=groups[0].gram, energy=groups[0].energy, groups=parts)


def derivatives_of(
    checkpoint: Checkpoint,
    atomic_numbers: Integer[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "frames atoms 3"],
    *,
    laplacian: bool | int = False,
    seed: int = 0,
    precision: str = "float32",
    monitor: Monitor = UNWATCHED,
) -> Iterator[tuple[int, Derivatives]]:
    """Derivatives of all descriptors of a checkpoint, float64, BLOCK after BLOCK of frames.

    With each block goes the number of frames before it. Raises InputError when cancelled.
    """
    params = as_precision(checkpoint.potential, checkpoint.body, precision)
    total, internal = len(positions), is_bent(positions)
    mesh = devices.line("frames")
    block = BLOCK * mesh.size
    key = jax.random.key(seed)
    for chosen, new in devices.blocks(total, block):
        first = int(chosen[0])
        monitor.stop_if_cancelled("the solve", f"{first} of {total} frames")
        # A key for every BLOCK frames, whichever device has them.
        numbers = jnp.arange(first // BLOCK, first // BLOCK + mesh.size)
        found = _derivatives(
            checkpoint.potential,
            checkpoint.form,
            laplacian,
            internal,
            mesh,
            jax.vmap(functools.partial(jax.random.fold_in, key))(numbers),
            params,
            checkpoint.head_basis,
            jnp.asarray(atomic_numbers),
            jnp.asarray(positions[chosen]),
        )
        found = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), found)
        # By BLOCK, so that the order of sums does not depend on the number of devices.
        for start in range(0, new, BLOCK):
            at = slice(start, min(start + BLOCK, new))
            yield first + start, jax.tree.map(lambda leaf, at=at: leaf[at], found)
            monitor.tell((first + at.stop) / total)


class _Matrices:
    """Running sums of the square matrices, for one group or several."""

    def __init__(self) -> None:
        self.gram: Any = 0.0
        self.energy: Any = 0.0


class _Sums:
    """Running sums over the frames of one group, which are ``rows`` of the data set."""

    def __init__(self, rows: Integer[np.ndarray, " frames"], matrices: _Matrices) -> None:
        self._rows, self._matrices = rows, matrices
        self._terms: list[Any] = []

    def add_block(self, first: int, found: Derivatives, dataset: Dataset, origin: float) -> None:
        """Adds those of the group's frames that are in a block of frames from ``first`` on."""
        rows = self._rows
        rows = rows[(rows >= first) & (rows < first + len(found.values))]
        if len(rows):
            at = slice(rows[0] - first, rows[-1] - first + 1)
            mine = jax.tree.map(lambda leaf: leaf[at], found)
            self.add(mine, -dataset.forces[rows], dataset.energies[rows] - origin)

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
        self._matrices.gram += g.T @ g  # in place: matrices of many descriptors are large
        self._matrices.energy += joint.T @ joint
        terms = [u @ g, curvature, u @ u, joint.sum(axis=0), fixed]
        self._terms = [
            term if total is None else total + term
            for total, term in zip(self._terms or [None] * len(terms), terms, strict=True)
        ]

    def moments(self, components: int, origin: float) -> Moments:
        """The finished sums."""
        gradient, curvature, force_squared, energy_sum, fixed = self._terms
        return Moments(
            frames=len(self._rows),
            components=components,
            gram=self._matrices.gram,
            gradient=gradient,
            laplacian=curvature,
            force_squared=float(force_squared),
            energy=self._matrices.energy,
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
    """Derivatives of a block of frames; each device of ``mesh`` has BLOCK of them, and a key."""

    def of_block(keys: Array, params: Parameters, basis: Any, numbers: Array, x: Array):
        """The frames of one device."""
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


def displaced(
    positions: Float[np.ndarray, "frames atoms 3"], options: Options, count: int, stream: int = 17
) -> Float[np.ndarray, "count atoms 3"]:
    """So many frames drawn from these and displaced at random, Å; ``stream`` is of the draw."""
    rng = np.random.default_rng([options.seed, stream])
    frames = rng.integers(len(positions), size=count)
    width = rng.uniform(options.noise_low, options.noise_high, size=(count, 1, 1))
    return positions[frames] + width * rng.standard_normal((count, *positions.shape[1:]))


def weight_of(
    square: Float[np.ndarray, " frames"], usual: float | np.floating
) -> Float[np.ndarray, " frames"]:
    """ω = 1/(1 + F²/4F²_usual) of frames whose mean square force component is ``square``."""
    return 1 / (1 + square / (4 * usual))


@dataclasses.dataclass(frozen=True, eq=False)
class Metric:
    """B of the ridge, where it is not the identity.

    Attributes:
        matrix: T_σ, the (weighted) mean of GᵀG, shape (D, D), Å⁻².
        frames: displaced frames behind it.
    """

    matrix: Float[np.ndarray, "d d"]
    frames: int

    @classmethod
    def accumulate(
        cls,
        checkpoint: Checkpoint,
        atomic_numbers: Integer[np.ndarray, " atoms"],
        positions: Float[np.ndarray, "frames atoms 3"],
        *,
        usual: float | None = None,
        precision: str = "float32",
        monitor: Monitor = UNWATCHED,
    ) -> "Metric":
        """E[GᵀG] over frames without labels; those whose derivatives are not finite are left out.

        Args:
            checkpoint, atomic_numbers, positions: the model, and displaced frames of a molecule.
            usual: mean square of a component of the checkpoint's own forces on data frames,
                eV²/Å². If given, a frame has the weight 1/(1 + F²/4F²_usual)², so that the few with
                the largest displacements, which dynamics never reach, do not outvote the others.
            precision: of the network.
            monitor: as of :func:`accumulate`.

        Raises InputError if that leaves none, or when cancelled.
        """
        total: Any = 0.0
        frames, weight = 0, 0.0
        blocks = derivatives_of(
            checkpoint, atomic_numbers, positions, precision=precision, monitor=monitor
        )
        for _, found in blocks:
            sound = np.isfinite(found.jacobian).all(axis=(1, 2))
            g = found.jacobian[sound]
            share = np.ones(len(g))
            if usual is not None:
                slope = g @ checkpoint.head
                if found.fixed is not None:
                    slope = slope + found.fixed.gradient[sound]
                share = weight_of(np.mean(slope**2, axis=1), usual) ** 2
            g = (np.sqrt(share)[:, None, None] * g).reshape(-1, g.shape[-1])
            total, frames, weight = total + g.T @ g, frames + len(share), weight + share.sum()
        if not frames:
            raise InputError(
                f"none of the {len(positions)} displaced frames has finite forces: lower the noise"
            )
        return cls(total / weight, frames)

    @functools.cached_property
    def whitening(self) -> Float[np.ndarray, "d k"]:
        """L with LᵀBL = 1, over the directions that B knows."""
        size = np.sqrt(np.diag(self.matrix))
        scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
        values, vectors = np.linalg.eigh(scale[:, None] * self.matrix * scale)
        kept = values > NULL * max(values[-1], np.finfo(float).tiny)
        return scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])


@dataclasses.dataclass(frozen=True)
class Equations:
    """½ θᵀAθ − θᵀb + ½ s over a set of frames, and the metric of the ridge that goes with it.

    Attributes:
        matrix: A, shape (D, D), Å⁻².
        target: b, shape (D,), eV/Å².
        square: s, eV²/Å²; None for the fit without forces, which never knows it.
        rows: scalar equations behind the sums: 3N for each frame, one more with energies.
        metric: B; None for the identity.
    """

    matrix: Float[np.ndarray, "d d"]
    target: Float[np.ndarray, " d"]
    square: float | None
    rows: int
    metric: Metric | None = None

    def loss(self, head: Float[np.ndarray, " d"]) -> float:
        """L(θ) without the part ½ s that no head changes, eV²/Å²."""
        return float(0.5 * head @ self.matrix @ head - head @ self.target)

    def losses(self, heads: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
        """:meth:`loss` of several heads."""
        return 0.5 * np.sum((heads @ self.matrix) * heads, axis=1) - heads @ self.target

    @functools.cached_property
    def spectrum(self) -> "Spectrum":
        """Eigendecomposition of A relative to the metric, in float64."""
        if self.metric is None:
            values, vectors = np.linalg.eigh(self.matrix)
        else:
            whitening = self.metric.whitening
            values, vectors = np.linalg.eigh(whitening.T @ self.matrix @ whitening)
            vectors = whitening @ vectors
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        threshold = len(values) * np.finfo(float).eps * max(values, default=0.0)
        rank = int(np.sum(values > threshold))
        return Spectrum(values, vectors, rank, self.metric is None)

    def residual(self, default: Float[np.ndarray, " d"]) -> Float[np.ndarray, " rank"]:
        """Vᵀ(b − Aθ₀) in the directions that the data know, eV/Å²."""
        kept, basis = self.spectrum.known
        if self.metric is not None:
            return basis.T @ (self.target - self.matrix @ default)
        return basis.T @ self.target - kept * (basis.T @ default)  # A in its eigenbasis


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigendecomposition of A relative to the metric B of the ridge, eigenvalues falling.

    Attributes:
        values: eigenvalues μ, AV = BVμ; Å⁻² for the identity, pure numbers otherwise.
        vectors: V as columns, shape (D, k), with VᵀBV = 1.
        rank: number of eigenvalues that are not zero to rounding.
        relative: whether λ is given as a multiple of the largest eigenvalue: for the identity.
    """

    values: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "d k"]
    rank: int
    relative: bool = True

    @property
    def largest(self) -> float:
        """The largest eigenvalue; 0 where the metric knows no direction, as of a body without
        forces."""
        return float(self.values[0]) if len(self.values) else 0.0

    @property
    def unit(self) -> float:
        """What λ is a multiple of, in the unit of the eigenvalues."""
        return self.largest if self.relative else 1.0

    @property
    def known(self) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "d rank"]]:
        """Eigenvalues and eigenvectors of the directions that the data know."""
        return self.values[: self.rank], self.vectors[:, : self.rank]

    @property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue; infinite if some direction is not determined."""
        full = self.rank == len(self.vectors)
        return self.largest / float(self.values[-1]) if full else float("inf")

    def effective_dof(self, ridge: float | np.ndarray) -> Any:
        """Σ_k μ_k/(μ_k + λ): the number of directions that the data decide at each ridge."""
        kept, _ = self.known
        return np.sum(kept / (kept + np.asarray(ridge)[..., None] * self.unit), axis=-1)


def equations(
    moments: Moments,
    temperature: float | None = None,
    energy_weight: float = 0.0,
    metric: Metric | None = None,
) -> Equations:
    """The normal equations of these frames.

    Args:
        moments: sums over the frames.
        temperature: None for the fit from forces; in K for the one from positions alone.
        energy_weight: w in Å⁻², from forces only.
        metric: of the ridge; None for the identity.

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
        return Equations(matrix, target, None, frames * moments.components, metric)
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
    return Equations(matrix, target, square, rows, metric)
