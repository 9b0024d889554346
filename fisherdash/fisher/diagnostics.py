"""Is the data a Boltzmann sample, and at which temperature?

For frames distributed as exp(−U/kT) and any smooth function f, integration by parts gives

    E[∇U·∇f] = kT E[Δf],

which is the configurational temperature of H. H. Rugh (Phys. Rev. Lett. 78, 772 (1997)) for f = U.
Every descriptor D_k is such an f, so E[∇U·∇D_k]/E[ΔD_k] is a kT for each k. One pooled number comes
from f = θ·D with the default head, which is close to U and therefore has little noise; the spread
of the single descriptors tests the hypothesis itself, because a wrong potential or a sample that is
not in equilibrium does not look equally hot to all of them.

Uncertainties are bootstrapped over groups of consecutive frames, so that correlated frames do not
pretend to be independent ones.

How far the model's Boltzmann distribution is from the data's, as a free energy.

    kT D_KL(p‖p_θ) = E_p[U_θ − U] + kT ln E_p[exp(−(U_θ − U)/kT)]

for frames of p = exp(−U/kT)/Z; a constant in either energy drops out. The second term is an
exponential average, which few frames may dominate: their effective number says whether to believe
it (A. Pohorille, C. Jarzynski, C. Chipot, J. Phys. Chem. B 114, 10235 (2010)).

How well the data determine the head, and what that means for forces.

With Gaussian noise of variance s² on every force component and the ridge as prior, θ is Gaussian
around the fitted head with the covariance

    Σ = s² (M A + M λ B)⁻¹,    s² = Σ|∇U − Gθ|²/(rows − dof),

M frames, B the metric of the ridge. The components of a frame, and neighbouring frames, are not
independent, and what is left of the error is the body's, not noise. So the claim is tested: two
heads fitted to alternate groups of consecutive frames should differ as Σ says; where they differ
more, Σ is scaled up to what was seen. An error bar of a force is then √(G Σ Gᵀ): the part of the
error that more data could cure.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Integer
from scipy.special import logsumexp

from fisherdash.devices import blocks
from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives
from fisherdash.fisher.moments import BLOCK, Equations, Moments, Part
from fisherdash.fisher.ridge import head_at
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import HeadForm
from fisherdash.potentials.potential import Parameters, Potential, as_precision
from fisherdash.statistics import SIGNIFICANT, how_often
from fisherdash.units import BOLTZMANN

GROUPS = 25


@dataclasses.dataclass(frozen=True)
class Boltzmann:
    """Temperatures that the data themselves show.

    Attributes:
        temperature: pooled, K.
        stderr: its standard error, K.
        believed: the temperature that the user gave, K, or None.
        per_descriptor: one temperature for each descriptor, shape (D,), K.
        per_descriptor_stderr: their standard errors, K.
        p_descriptors: probability of descriptors this different from one another if the
            hypothesis were true (smallest of all, corrected for their number).
        consistent: whether neither test rejects the hypothesis; without a believed
            temperature only the descriptors are asked.
        frames, groups: what the estimate rests on.
    """

    temperature: float
    stderr: float
    believed: float | None
    per_descriptor: Float[np.ndarray, " d"]
    per_descriptor_stderr: Float[np.ndarray, " d"]
    p_descriptors: float
    consistent: bool
    frames: int
    groups: int

    @property
    def verdict(self) -> str:
        """What the test says, in plain words."""
        measured = (
            f"The forces and the frames agree on {self.temperature:.0f} ± {self.stderr:.0f} K"
        )
        rest = f" ({self.frames} frames in {self.groups} groups)"
        if self.p_descriptors < SIGNIFICANT:
            return (
                "These frames do not look like a Boltzmann sample of these forces: the descriptors "
                f"disagree about the temperature (p = {self.p_descriptors:.1g}; pooled "
                f"{self.temperature:.0f} ± {self.stderr:.0f} K){rest}."
            )
        if self.believed is None:
            return f"{measured}{rest}; no other temperature was given to compare with."
        off = abs(self.temperature - self.believed) / self.stderr
        words = "in agreement with" if self.consistent else f"{off:.1f} standard errors away from"
        return f"{measured}{rest}, {words} {self.believed:g} K."


def boltzmann_test(
    groups: Sequence[Moments],
    weights: Float[np.ndarray, " d"],
    believed: float | None,
    seed: int = 0,
    asked: int | None = None,
) -> Boltzmann:
    """Tests the hypothesis on sums over groups of consecutive frames.

    Args:
        groups: sums with Laplacians, at least five groups, or fewer that hold as many ``parts``.
        weights: of the descriptors in the pooled estimate; the default head.
        believed: temperature in K to compare with, or None.
        seed: of the bootstrap.
        asked: of so many descriptors, from the first, each is asked for its temperature; all by
            default. Of a quadratic head's many products few could speak up against chance.

    Raises:
        InputError: with fewer than five groups, sums without Laplacians, or weights of zero.
    """
    parts = [part for group in groups for part in group.parts]
    if len(parts) < 5:
        raise InputError(f"the Boltzmann test needs at least 5 groups of frames, got {len(parts)}")
    if not np.any(weights):
        raise InputError("the Boltzmann test needs a head that is not zero: train the model first")
    work = np.stack([part.work for part in parts])
    curvature = np.stack([_laplacian(part) for part in parts])

    def temperatures(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pooled and by descriptor, of groups as often as they count."""
        pooled = (count @ (work @ weights)) / (count @ (curvature @ weights))
        top, bottom = count @ work[:, :asked], count @ curvature[:, :asked]
        with np.errstate(divide="ignore", invalid="ignore"):
            return pooled / BOLTZMANN, top / bottom / BOLTZMANN

    pooled, single = (value[0] for value in temperatures(np.ones((1, len(parts)))))
    pooled_resampled, single_resampled = temperatures(how_often(len(parts), seed))
    # The standard deviation of a ratio has heavy tails where its denominator is close to zero;
    # half the central 68 % is the standard error without them.
    spread = _half_width(single_resampled)
    difference = _half_width(single_resampled - pooled_resampled[:, None])
    usable = np.isfinite(single) & (difference > 0)
    z = np.abs(single - pooled)[usable] / difference[usable]
    p = 2 * scipy.stats.t.sf(z, len(parts) - 1)
    p_descriptors = float(min(1.0, len(p) * p.min())) if len(p) else 1.0
    stderr = float(_half_width(pooled_resampled[:, None])[0])
    agrees = believed is None or abs(pooled - believed) < 1.96 * stderr
    return Boltzmann(
        temperature=float(pooled),
        stderr=stderr,
        believed=believed,
        per_descriptor=single,
        per_descriptor_stderr=spread,
        p_descriptors=p_descriptors,
        consistent=bool(agrees and p_descriptors >= SIGNIFICANT),
        frames=sum(part.frames for part in parts),
        groups=len(parts),
    )


def _laplacian(part: Part) -> np.ndarray:
    if part.laplacian is None:
        raise InputError("the Boltzmann test needs sums with Laplacians")
    return part.laplacian


def _half_width(samples: Float[np.ndarray, "resamples d"]) -> Float[np.ndarray, " d"]:
    known = ~np.isnan(samples).all(axis=0)
    width = np.full(known.shape, np.nan)
    low, high = np.nanpercentile(samples[:, known], [15.865, 84.135], axis=0)
    width[known] = (high - low) / 2
    return width


FEW = 0.1


@dataclasses.dataclass(frozen=True)
class Divergence:
    """kT·D_KL in eV per molecule, the frames it was estimated from, and how many carry it."""

    value: float
    frames: int
    effective_frames: float

    @property
    def doubtful(self) -> bool:
        """Whether less than a tenth of the frames carry the exponential average."""
        return self.effective_frames < FEW * self.frames


def kl_divergence(
    predicted: Float[np.ndarray, " frames"],
    reference: Float[np.ndarray, " frames"],
    temperature: float,
) -> Divergence:
    """Excess free energy of the data under the model.

    Args:
        predicted: U_θ in eV; a constant does not matter.
        reference: U in eV, of frames that are a Boltzmann sample of it.
        temperature: of the sample, K.
    """
    kt = BOLTZMANN * temperature
    error = (predicted - reference) / kt
    error = error - error.mean()
    log_mean = logsumexp(-error) - np.log(len(error))
    effective = np.exp(2 * logsumexp(-error) - logsumexp(-2 * error))
    return Divergence(float(kt * log_mean), len(error), float(effective))


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Uncertainty of a fitted head.

    Attributes:
        covariance: Σ in eV², shape (D, D), scaled by ``scale``².
        force_stderr: √(tr(TΣ)/3N), the typical error bar of a force component, eV/Å.
        half_difference: root-mean-square difference of forces between heads fitted to the two
            halves of the frames, eV/Å.
        half_cosine: cosine between the halves' changes θ − θ₀; 1 is full agreement.
        scale: how many times further apart the halves are than an unscaled Σ says, at least 1.
    """

    covariance: Float[np.ndarray, "d d"]
    force_stderr: float
    half_difference: float
    half_cosine: float
    scale: float


def halved(groups: Sequence[Moments]) -> tuple[Moments, Moments]:
    """The sums over alternate groups of frames; InputError with fewer than two groups."""
    if len(groups) < 2:
        raise InputError(f"the halves of the data need two groups of frames, got {len(groups)}")
    first, second = (functools.reduce(operator.add, groups[start::2]) for start in (0, 1))
    return first, second


def posterior(
    total: Moments,
    whole: Equations,
    halves: Sequence[Equations],
    ridge: float,
    default: Float[np.ndarray, " d"],
    labelled: float = 0.0,
) -> Posterior:
    """The posterior of a fit at one ridge.

    Args:
        total: sums over the fitted frames.
        whole: their normal equations.
        halves: those of two halves of the frames, made the same way from :func:`halved`.
        ridge: λ as in :func:`fisherdash.fisher.ridge.head_at`, the same for the halves; finite.
        default: θ₀, the centre of the ridge.
        labelled: Σω of labelled frames that are in the normal equations but not in ``total``.
    """
    frames = total.frames + labelled
    gram = total.gram / total.frames
    lam = ridge * whole.spectrum.unit
    head = head_at(ridge, whole, default)
    # The spread around forces, also for the fit that has not seen them.
    rows = total.frames * total.components
    taken = whole.spectrum.effective_dof(ridge) * total.frames / frames  # by these frames
    freedom = max(rows - taken, 1.0)
    noise = 2 * total.frames * total.divergence(head) / freedom
    covariance = _inverse(whole, lam) * noise / frames

    # The same absolute strength of the prior per frame as in the whole fit.
    heads = [head_at(_relative(lam, half), half, default) for half in halves]
    difference = heads[0] - heads[1]
    seen = float(np.sqrt(max(difference @ gram @ difference, 0.0) / total.components))
    # Each half has half of the frames, and a difference has both variances.
    predicted = 2 * _typical(gram, covariance, total.components)
    scale = max(1.0, seen / predicted) if predicted > 0 else 1.0
    changes = [one - default for one in heads]
    norms = float(np.linalg.norm(changes[0]) * np.linalg.norm(changes[1]))
    cosine = float(changes[0] @ changes[1]) / norms if norms > 0 else 1.0
    covariance = scale**2 * covariance
    return Posterior(
        covariance=covariance,
        force_stderr=_typical(gram, covariance, total.components),
        half_difference=seen,
        half_cosine=cosine,
        scale=scale,
    )


def force_stderr(
    checkpoint: Checkpoint,
    atomic_numbers: Integer[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "frames atoms 3"],
) -> Float[np.ndarray, "frames atoms 3"]:
    """Error bars √(G Σ Gᵀ) of the forces in eV/Å, along a trajectory for instance.

    They hold what is uncertain about the head, not what the body cannot express.

    Raises:
        InputError: for a checkpoint without a covariance, or elements that it does not know.
    """
    if checkpoint.head_covariance is None:
        raise InputError(
            f"'{checkpoint.name}' carries no uncertainty of its head: only a re-fit leaves one"
        )
    checkpoint.check_elements(atomic_numbers)
    params = as_precision(checkpoint.potential, checkpoint.body, checkpoint.potential.precisions[0])
    values, vectors = np.linalg.eigh(checkpoint.head_covariance)
    root = jnp.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
    found = []
    for rows, new in blocks(len(positions), BLOCK):
        bars = _bars(
            checkpoint.potential,
            checkpoint.form,
            params,
            checkpoint.head_basis,
            jnp.asarray(atomic_numbers),
            np.asarray(positions[rows], np.float64),
            root,
        )
        found.append(np.asarray(bars)[:new])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _bars(
    potential: Potential,
    form: HeadForm,
    params: Parameters,
    basis: Array | None,
    atomic_numbers: Array,
    positions: Array,
    root: Array,
) -> Array:
    g = Derivatives.of(potential, form, params, basis, atomic_numbers, positions).jacobian
    spread = jnp.einsum("mxd,de->mxe", g.astype(root.dtype), root)
    return jnp.sqrt(jnp.sum(spread**2, axis=-1)).reshape(positions.shape)


def _inverse(problem: Equations, lam: float) -> Float[np.ndarray, "d d"]:
    """(A + λB)⁻¹ over the directions that the data know; the others are not fitted at all."""
    kept, basis = problem.spectrum.known
    return (basis / (kept + lam)) @ basis.T


def _relative(lam: float, problem: Equations) -> float:
    """λ in its unit, which is zero where an untrained body exerts no force."""
    unit = problem.spectrum.unit
    return lam / unit if unit > 0 else 0.0


def _typical(gram: np.ndarray, covariance: np.ndarray, components: int) -> float:
    return float(np.sqrt(max(np.sum(gram * covariance), 0.0) / components))
