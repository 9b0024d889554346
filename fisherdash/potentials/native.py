"""A re-fitted head back into the file of the library that its network came from.

The library's own file is copied with another last layer, read again as on its way in, and compared
with the checkpoint: the same network to the last bit, and the forces of the new head within what
the file's precision leaves. What the file has no room for is refused: SchNetPack's, MACE's and
SO3LR's have one last layer for all atoms, ANI's one for each element, and none has products of
features. A model that only its own library can evaluate is written and read by that library; any
head of it can go out as a module of torch, which its owner puts on the original.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from fisherdash import storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials import ani as ani_folder
from fisherdash.potentials import evaluate, foreign
from fisherdash.potentials.ani import Ani
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.foreign import clusters
from fisherdash.potentials.head import Head
from fisherdash.potentials.schnetpack import reading as schnetpack_file
from fisherdash.potentials.worker import client, trusted
from fisherdash.potentials.worker.client import line
from fisherdash.potentials.worker.outside import Outside
from fisherdash.settings import ImportSettings
from fisherdash.settings.data import Energy
from fisherdash.units import ENERGY_UNITS

MOST_FORCE_DIFFERENCE = 1e-5
"""eV/Å, of a file in single precision."""
TORCH_HEAD = client.SCRIPT.with_name("torch_head.py")


@dataclasses.dataclass(frozen=True)
class Native:
    """A file that was written.

    Attributes:
        library: whose file it is.
        force_difference: the largest to the checkpoint, eV/Å.
        notes: what the user should know.
    """

    library: str
    force_difference: float
    notes: tuple[str, ...] = ()


def write(model: Checkpoint, original: Path, out: Path, unit: Energy | None = None) -> Native:
    """Write the library's file, or folder, with the head of a checkpoint.

    Args:
        model: a re-fitted import.
        original: the file or folder that was imported.
        out: of the same kind, new.
        unit: of the original's energies, where the checkpoint does not say.

    Raises:
        InputError: for a head that such a file cannot hold, an original that is another model, or
            one that reads differently afterwards.
    """
    if isinstance(model.potential, Outside):
        return _by_its_library(model, original, out)
    unit = unit or model.provenance.get("energy_unit")
    if unit not in ENERGY_UNITS:
        raise InputError(
            f"{model.name!r} does not say in which unit the energies of its original are; give "
            f"--units, one of {', '.join(ENERGY_UNITS)}"
        )
    settings = ImportSettings(energy_unit=unit)
    data = foreign.content(original)
    before, found = foreign.taken_over(data, settings, source=original.name, name="original")
    if before.potential != model.potential or not _alike(before.body, model.body):
        raise InputError(
            f"{original.name} is not the file that {model.name!r} was imported from: its network "
            "is another one"
        )
    changed, holds = _changed(data, original.name, model, before, ENERGY_UNITS[unit])
    after, _ = foreign.taken_over(changed, settings, source=out.name, name=model.name)
    difference = _force_difference(model, after)
    if not _alike(after.body, model.body) or not difference <= MOST_FORCE_DIFFERENCE:
        raise InputError(
            f"{out.name} was not written: read again, its forces are off by {difference:.1e} eV/Å"
        )
    _put(changed, out)
    notes = () if holds else (
        "the file has no energies of single atoms, so the zero of its energy stays what it was; "
        "forces and differences of energies are those of the new head",
    )  # fmt: skip
    return Native(found.library, difference, notes)


def _by_its_library(model: Checkpoint, original: Path, out: Path) -> Native:
    """The file of a model that another Python evaluates, written and read again by that Python."""
    potential = model.potential
    assert isinstance(potential, Outside)
    unit = ENERGY_UNITS[potential.energy_unit]
    data = foreign.content(original)
    if isinstance(data, Mapping) or hashlib.sha256(data).hexdigest() != potential.sha256:
        raise InputError(f"{original.name} is not the file that {model.name!r} was imported from")
    if model.form.kind != "shared":
        raise _no_room(model, "all atoms together", "shared")
    process = potential.client()
    change = model.element_bias / unit - process.arrays["constants"]
    change = np.where(model.element_bias != 0, change, 0.0)
    with storage.replacing(out) as part:
        given = {"theta": model.head / unit, "change": change}
        process.ask("write", given, {}, path=str(Path(part).resolve()))
        # It was made of a trusted file by that file's own library; the word is for it alone.
        python = process.trusted.python
        with trusted.trusting(Path(part), potential.family, python, keep=False) as word:
            again = client.Client(word, potential.options)
            difference = _outside_difference(model, again, unit)
            again.close()
        if not difference <= MOST_FORCE_DIFFERENCE:
            raise InputError(
                f"{out.name} was not written: read again, its forces are off by {difference:.1e} "
                "eV/Å"
            )
    return Native(line(process.facts["library"]), difference)


def write_torch_head(model: Checkpoint, out: Path) -> Native:
    """Write a folder with a head of any form as a module of torch, and the file that puts it on.

    The module changes the library's own model, see ``worker/torch_head.py``; the library evaluates
    its original with it before the folder is kept.

    Args:
        model: with a head for a model of MACE, SO3LR or NequIP.
        out: a new folder.

    Raises:
        InputError: for a checkpoint of another kind, or forces that are others with the module.
    """
    potential = model.potential
    if not isinstance(potential, Outside):
        raise InputError(
            f"{model.name!r} is no model that a library of torch evaluates; its calculator for ASE "
            "is FisherDashCalculator"
        )
    unit, process = ENERGY_UNITS[potential.energy_unit], potential.client()
    seam, count = process.tell("seam")["seam"], potential.num_features
    elements = list(model.form.elements or model.elements)
    head = Head.of(model.form, count, model.head / unit, model.head_basis)
    products = np.zeros((len(elements), 0, 0)) if head.quadratic is None else head.quadratic
    every = np.eye(count, products.shape[-1])
    linear = np.broadcast_to(head.linear.reshape(-1, count), (len(elements), count))
    bias = model.element_bias / unit - process.arrays["constants"]
    rows = [potential.elements.index(z) for z in elements]
    arrays = {
        "linear": linear - process.arrays["theta"],
        "quadratic": products,
        "basis": every if model.head_basis is None else model.head_basis,
        "constants": np.where(model.element_bias != 0, bias, 0.0)[elements],
        **{name: np.array(seam.pop(name))[rows] for name in ("scale", "stretch")},
        "row": np.array([elements.index(z) if z in elements else -1 for z in seam.pop("types")]),
    }
    with storage.new_folder(out) as part:
        np.savez(part / "head.npz", seam=np.array(json.dumps(seam)), **arrays)
        shutil.copyfile(TORCH_HEAD, part / "fisherdash_head.py")
        difference = _outside_difference(model, process, unit, "attached", str(part.resolve()))
        if not difference <= MOST_FORCE_DIFFERENCE:
            raise InputError(
                f"{out.name} was not written: on the library's own model the head's forces are off "
                f"by {difference:.1e} eV/Å"
            )
    return Native(line(process.facts["library"]), difference)


def _outside_difference(
    model: Checkpoint,
    again: client.Client,
    unit: float,
    request: str = "energy_and_forces",
    path: str = "",
) -> float:
    """The largest difference of the library's forces to the checkpoint's, eV/Å."""
    data = _frames(model)
    where = {"numbers": np.asarray(data.atomic_numbers, np.int64), "positions": data.positions}
    shapes = {"energy": (len(data),), "forces": data.positions.shape}
    theirs = again.ask(request, where, shapes, path=path)["forces"] * unit
    return float(np.abs(theirs - evaluate.predict(model, data)[1]).max())


def _changed(
    data: bytes | Mapping[str, bytes],
    source: str,
    model: Checkpoint,
    before: Checkpoint,
    unit: float,
) -> tuple[bytes | Mapping[str, bytes], bool]:
    """The content with the new head, and whether it holds the constants of the energy too."""
    # Of elements that the molecule of the re-fit does not have nothing is known.
    known = model.element_bias != 0
    change = np.where(known, model.element_bias - before.element_bias, 0.0) / unit
    if isinstance(data, Mapping):
        assert isinstance(model.potential, Ani)
        head = _of_every_element(model, before)
        return ani_folder.with_head(data, source, model.potential, head / unit, change), True
    if model.form.kind != "shared":
        raise _no_room(model, "all atoms together", "shared")
    return schnetpack_file.with_head(data, source, model.head / unit, change)


def _of_every_element(model: Checkpoint, before: Checkpoint) -> np.ndarray:
    """Weights by element; those of elements without a new head stay what they were."""
    if model.form.kind == "quadratic":
        raise _no_room(model, "each element, and no products of features", "by-element")
    if model.form.kind == "shared":
        return model.by_element(before.form.elements).head
    rows = before.head.reshape(len(before.form.elements), -1).copy()
    new = model.head.reshape(len(model.form.elements), -1)
    rows[[before.form.elements.index(z) for z in model.form.elements]] = new
    return rows.ravel()


def _no_room(model: Checkpoint, layers: str, head: str) -> InputError:
    other = "use the checkpoint itself, whose ASE calculator is FisherDashCalculator"
    if isinstance(model.potential, Outside):
        other = "write it as a module of torch, with --torch in place of --native"
    return InputError(
        f"{model.name!r} has a head of the kind {model.form.kind!r}, and such a file has one last "
        f"layer for {layers}: re-fit with --head {head}, or {other}"
    )


def _alike(first: object, second: object) -> bool:
    """Whether two trees of arrays are equal to the last bit."""
    same = jax.tree.structure(first) == jax.tree.structure(second)
    return same and all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))


def _force_difference(one: Checkpoint, other: Checkpoint) -> float:
    """The largest difference of forces on small clusters of the model's elements, eV/Å."""
    data = _frames(one)
    first, second = (evaluate.predict(model, data)[1] for model in (one, other))
    return float(np.abs(first - second).max())


def _frames(model: Checkpoint) -> Dataset:
    """Small clusters of elements that its head knows, without labels."""
    elements = [z for z in model.form.elements or model.elements if z in model.elements]
    numbers, frames = clusters(elements, np.random.default_rng(0))
    return Dataset(frames, np.zeros(len(frames)), np.zeros_like(frames), numbers)


def _put(content: bytes | Mapping[str, bytes], out: Path) -> None:
    """A file, or a folder of files: all of it or nothing."""
    if not isinstance(content, Mapping):
        with storage.replacing(out) as part:
            Path(part).write_bytes(content)
        return
    with storage.new_folder(out) as part:
        for name, data in content.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(data)
