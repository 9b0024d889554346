"""The closed-form re-fit of the last layer by score matching, and what it says about itself."""

from fisherdash.fisher.moments import Moments, accumulate
from fisherdash.fisher.ridge import RidgePoint, head_at, ridge_path, spectrum
from fisherdash.fisher.solve import Refit, solve

__all__ = [
    "Moments",
    "Refit",
    "RidgePoint",
    "accumulate",
    "head_at",
    "ridge_path",
    "solve",
    "spectrum",
]
