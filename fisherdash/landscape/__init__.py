"""How flat the loss is around a checkpoint: its sharpness, and its surface on a random plane."""

from fisherdash.landscape.loss import Loss, Objective, Scope
from fisherdash.landscape.sharpness import RADIUS, Sharpness, sharpness
from fisherdash.landscape.surface import POINTS, SPAN, Surface, directions, surface

__all__ = [
    "POINTS",
    "RADIUS",
    "SPAN",
    "Loss",
    "Objective",
    "Scope",
    "Sharpness",
    "Surface",
    "directions",
    "sharpness",
    "surface",
]
