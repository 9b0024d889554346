"""The closed-form re-fit of the last layer by score matching, and what it says about itself."""

from fisherdash.fisher.boltzmann import Boltzmann, boltzmann_test
from fisherdash.fisher.descent import Descent, descend
from fisherdash.fisher.kl import Divergence, kl_divergence
from fisherdash.fisher.moments import Moments, accumulate, accumulate_groups
from fisherdash.fisher.ridge import (
    RidgePoint,
    Spectrum,
    head_at,
    ridge_path,
    right_hand_side,
    spectrum,
)
from fisherdash.fisher.solve import METHODS, Method, Refit, solve

__all__ = [
    "METHODS",
    "Boltzmann",
    "Descent",
    "Divergence",
    "Method",
    "Moments",
    "Refit",
    "RidgePoint",
    "Spectrum",
    "accumulate",
    "accumulate_groups",
    "boltzmann_test",
    "descend",
    "head_at",
    "kl_divergence",
    "ridge_path",
    "right_hand_side",
    "solve",
    "spectrum",
]
