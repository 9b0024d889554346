"""How flat the loss is around a checkpoint: its sharpness, and its surface on a random plane."""

from fisherdash.landscape.loss import Loss, Objective, Scope
from fisherdash.landscape.sharpness import RADIUS, Sharpness, sharpness
from fisherdash.landscape.surface import POINTS, SPAN, Surface, directions, surface
from fisherdash.landscape.survey import FRAMES, Landscape, Settings, evenly, save, survey

__all__ = [
    "FRAMES",
    "POINTS",
    "RADIUS",
    "SPAN",
    "Landscape",
    "Loss",
    "Objective",
    "Scope",
    "Settings",
    "Sharpness",
    "Surface",
    "directions",
    "evenly",
    "save",
    "sharpness",
    "surface",
    "survey",
]
