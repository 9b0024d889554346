"""Several models looked at in the same way: the same frames, the same step, the same directions."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash import disk
from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.landscape.loss import Scope
from fisherdash.landscape.sharpness import RADIUS, Sharpness, sharpness
from fisherdash.landscape.surface import POINTS, SPAN, Surface, surface

FRAMES = 100
"""Enough for two digits of a sharpness."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to look: see :func:`~fisherdash.landscape.sharpness` and
    :func:`~fisherdash.landscape.surface` for each.

    Attributes:
        frames: how many of the data set's frames, evenly spread over it; all where it has fewer.
        surfaces: whether to map the plane, which takes most of the time.
    """

    frames: int = FRAMES
    radius: float = RADIUS
    scope: Scope = "all"
    surfaces: bool = True
    span: float = SPAN
    points: int = POINTS
    seed: int = 0
    forces_weight: float = 1.0
    precision: str = "float32"

    def common(self) -> dict[str, Any]:
        """What sharpness and surface share."""
        names = ("scope", "forces_weight", "precision")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Landscape:
    """What was found around one model; no surface where none was asked for."""

    sharpness: Sharpness
    surface: Surface | None


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a survey is: the share that is done, and of which model."""

    share: float
    name: str
    found: dict[str, Landscape]


def survey(
    models: Mapping[str, Checkpoint],
    dataset: Dataset,
    settings: Settings,
    *,
    cancel: threading.Event | None = None,
    watch: Callable[[float, str], None] | None = None,
) -> Iterator[Progress]:
    """Look around each model; a report before each of them and one at the end.

    Args:
        models: by name.
        dataset: of one molecule, which all of them know.
        settings: how to look.
        cancel: set it to stop between two points.
        watch: called with the share done and the model's name, within a model too.

    Raises:
        InputError: if the molecule does not fit a model, a setting makes no sense, or ``cancel``
            was set.
    """
    frames = evenly(dataset, settings.frames)
    found: dict[str, Landscape] = {}
    for index, (name, model) in enumerate(models.items()):
        yield Progress(index / len(models), name, dict(found))

        def within(done: int, total: int, index: int = index, name: str = name) -> None:
            if watch is not None:
                watch((index + done / total) / len(models), name)

        sharp = sharpness(model, frames, radius=settings.radius, cancel=cancel, **settings.common())
        plane = None
        if settings.surfaces:
            plane = surface(
                model,
                frames,
                span=settings.span,
                points=settings.points,
                seed=settings.seed,
                cancel=cancel,
                watch=within,
                **settings.common(),
            )
        found[name] = Landscape(sharp, plane)
    yield Progress(1.0, "", found)


def save(found: Mapping[str, Landscape], path: Path) -> None:
    """Write the surfaces to one npz file, whole or not at all.

    Arrays: ``names`` (M,), ``steps`` (K,) in parts of the weights, ``loss`` (M, K, K) in
    (kcal/mol)² and ``force_rmse`` (M, K, K) in eV/Å.

    Raises:
        InputError: if a model has no surface, or the file cannot be written.
    """
    surfaces = [one.surface for one in found.values() if one.surface is not None]
    if len(surfaces) < len(found) or not surfaces:
        raise InputError("surfaces are saved where every model has one; some of these have none")
    arrays = {
        "names": np.array(list(found)),
        "steps": surfaces[0].steps,
        "loss": np.stack([one.loss for one in surfaces]),
        "force_rmse": np.stack([one.force_rmse for one in surfaces]),
    }
    with disk.replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def evenly(dataset: Dataset, count: int) -> Dataset:
    """So many frames, evenly spread over the set; all of them where it has fewer.

    Raises:
        InputError: if ``count`` is not above 0.
    """
    if count < 1:
        raise InputError(f"frames must be at least 1, received {count}")
    rows = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    return dataset.subset(rows)
