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
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.fisher.moments import Moments
from fisherdash.units import BOLTZMANN

GROUPS = 25
RESAMPLES = 2000
SIGNIFICANT = 0.05


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
        consistent: whether neither test speaks against the hypothesis; without a believed
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
) -> Boltzmann:
    """Tests the hypothesis on sums over groups of consecutive frames.

    Args:
        groups: sums with Laplacians, at least five groups.
        weights: of the descriptors in the pooled estimate; the default head.
        believed: temperature in K to compare with, or None.
        seed: of the bootstrap.

    Raises:
        InputError: with fewer than five groups, sums without Laplacians, or weights of zero.
    """
    if len(groups) < 5:
        raise InputError(f"the Boltzmann test needs at least 5 groups of frames, got {len(groups)}")
    if not np.any(weights):
        raise InputError("the Boltzmann test needs a head that is not zero: train the model first")
    work = np.stack([group.gradient for group in groups])
    curvature = np.stack([_laplacian(group) for group in groups])
    chosen = np.random.default_rng(seed).integers(len(groups), size=(RESAMPLES, len(groups)))
    counts = np.zeros((RESAMPLES, len(groups)))
    np.add.at(counts, (np.arange(RESAMPLES)[:, None], chosen), 1.0)

    def temperatures(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        top, bottom = count @ work, count @ curvature
        pooled = (top @ weights) / (bottom @ weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            return pooled / BOLTZMANN, top / bottom / BOLTZMANN

    pooled, single = (value[0] for value in temperatures(np.ones((1, len(groups)))))
    pooled_resampled, single_resampled = temperatures(counts)
    # The standard deviation of a ratio has heavy tails where its denominator is close to zero;
    # half the central 68 % is the standard error without them.
    spread = _half_width(single_resampled)
    difference = _half_width(single_resampled - pooled_resampled[:, None])
    usable = np.isfinite(single) & (difference > 0)
    z = np.abs(single - pooled)[usable] / difference[usable]
    p = 2 * scipy.stats.t.sf(z, len(groups) - 1)
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
        frames=sum(group.frames for group in groups),
        groups=len(groups),
    )


def _laplacian(group: Moments) -> np.ndarray:
    if group.laplacian is None:
        raise InputError("the Boltzmann test needs sums with Laplacians")
    return group.laplacian


def _half_width(samples: Float[np.ndarray, "resamples d"]) -> Float[np.ndarray, " d"]:
    low, high = np.nanpercentile(samples, [15.865, 84.135], axis=0)
    return (high - low) / 2
