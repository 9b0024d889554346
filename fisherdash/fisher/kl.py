"""How far the model's Boltzmann distribution is from the data's, as a free energy.

    kT D_KL(p‖p_θ) = E_p[U_θ − U] + kT ln E_p[exp(−(U_θ − U)/kT)]

for frames of p = exp(−U/kT)/Z; a constant in either energy drops out. The second term is an
exponential average, which few frames may dominate: their effective number says whether to believe
it (A. Pohorille, C. Jarzynski, C. Chipot, J. Phys. Chem. B 114, 10235 (2010)).
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from fisherdash.units import BOLTZMANN

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
