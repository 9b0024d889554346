"""Imports models of other programs: a file becomes a checkpoint, or is refused.

What kind of file it is follows from the names of classes that the inert reader sees. The network is
taken over with all of its parameters, its last linear layer becomes the head, and every constant of
the energy goes into the element biases. The unit of energy is not in such files, so it has to be
given.

A probe then shows that the potential is what re-fits need: linear in its head, and its forces the
slope of its energy. With θ₀ the head as it came, v any other and D = Σ_i h_i over all atoms or
those of an element, an energy that is linear in its last layer has

    U(θ₀ + v) − U(θ₀) = v·D,    F(θ₀ + v) − F(θ₀) = −Gv,    G = ∂D/∂x,

without a step size. Here U and F come from the function that dynamics call, in reverse mode, and G
from derivatives pushed forward, as re-fits take them, so that each holds the other. Forces are also
held against differences of the energy, (U(x − 2e) − 8U(x − e) + 8U(x + e) − U(x + 2e)) / 12|e|
along random directions. All of it in double precision, on small clusters of atoms.
"""

import dataclasses
import hashlib
import itertools
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Integer

from fisherdash import storage
from fisherdash.dataset import archives
from fisherdash.errors import InputError
from fisherdash.potentials import ani, inert
from fisherdash.potentials import head as heads
from fisherdash.potentials.calculated import Calculated
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import Descriptors, Head
from fisherdash.potentials.inert import Record
from fisherdash.potentials.origin import Found
from fisherdash.potentials.schnetpack import reading as schnetpack
from fisherdash.settings import MAX_ATOMIC_NUMBER, ImportSettings
from fisherdash.text import joined
from fisherdash.units import ENERGY_UNITS

MOST_HEAD_ERROR = 1e-9
MOST_FORCE_ERROR = 1e-6
HEADS = 3
"""Random v."""
_FRAMES, _SPACING, _JITTER, _STEP = 4, 1.3, 0.15, 1e-4


@dataclasses.dataclass(frozen=True)
class Probe:
    """Largest deviations, relative to the largest number that they are deviations of.

    Attributes:
        head_error: of energies and forces from what a linear head would give.
        force_error: of forces from differences of the energy.
    """

    head_error: float
    force_error: float

    @property
    def passed(self) -> bool:
        """Whether both are within their limits; not a number is not."""
        return self.head_error <= MOST_HEAD_ERROR and self.force_error <= MOST_FORCE_ERROR


def probe(checkpoint: Checkpoint) -> Probe:
    """The deviations of a checkpoint with a linear head; nothing of it is changed."""
    form = checkpoint.form
    if form.kind == "quadratic":
        raise InputError("only a head without products of features can be probed")
    rng = np.random.default_rng(0)
    numbers, frames = map(jnp.asarray, clusters(checkpoint.elements, rng))
    params, _ = checkpoint.on_device("float64")
    potential, theta = checkpoint.potential, checkpoint.head
    evaluate = jax.jit(
        lambda head, x: heads.energy_and_forces(potential, form, params, Head(head), numbers, x)
    )
    phi = Descriptors(form, None, numbers)

    @jax.jit
    def pushed(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """D, and G as (directions, frames, features)."""

        def sums(x: jax.Array) -> jax.Array:
            """D at positions."""
            found = potential.features(params, numbers, x, forward_mode=True).features
            return phi.linear(found)

        values, push = jax.linearize(sums, x)
        axes = jnp.eye(x[0].size).reshape(-1, 1, *x.shape[1:])
        return values, jax.lax.map(push, jnp.broadcast_to(axes, (len(axes), *x.shape)))

    d, g = map(np.asarray, pushed(frames))
    energy, forces = map(np.asarray, evaluate(jnp.asarray(theta), frames))
    errors = []
    for v in random_heads(theta, rng):
        other, other_forces = map(np.asarray, evaluate(jnp.asarray(theta + v), frames))
        errors.append(relative(other - energy, d @ v))
        slope = np.moveaxis(g @ v, 0, 1).reshape(forces.shape)
        errors.append(relative(other_forces - forces, -slope))
    along = rng.normal(size=frames.shape)
    along /= np.linalg.norm(along, axis=(1, 2), keepdims=True)
    differences = sum(
        weight * np.asarray(evaluate(jnp.asarray(theta), frames + step * _STEP * along)[0])
        for step, weight in ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0))
    )
    found = np.sum(forces * along, axis=(1, 2))
    # The scale is that of the forces: along one direction they may cancel.
    scale = float(np.linalg.norm(forces, axis=(1, 2)).max())
    away = np.abs(found + differences / (12 * _STEP)).max()
    return Probe(worst(errors), worst([float(away) / (scale or 1.0)]))


def relative(found: np.ndarray, expected: np.ndarray, scale: float = 0.0) -> float:
    """The largest deviation by the scale, which else is the largest expected number."""
    scale = scale or float(np.abs(expected).max()) or 1.0
    return float(np.abs(found - expected).max()) / scale


def worst(errors: Sequence[float]) -> float:
    """The largest; not a number where one of them is not."""
    return float(np.max(errors))


def random_heads(
    theta: Float[np.ndarray, " weights"], rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " weights"]]:
    """Random v of the size of a head."""
    size = float(np.sqrt(np.mean(theta**2))) or 1.0
    for _ in range(HEADS):
        yield size * rng.normal(size=len(theta))


def clusters(
    elements: Sequence[int], rng: np.random.Generator, *, every: bool = False
) -> tuple[Integer[np.ndarray, " atoms"], Float[np.ndarray, "frames atoms 3"]]:
    """Atomic numbers and positions (Å) of six atoms, or eight of ``every`` element, near a cube's
    corners.

    No bond length is known, and nothing touches. Six are of organic chemistry where such elements
    are known, else of the first ones.
    """
    organic = [z for z in (6, 1, 8, 7) if z in elements]
    known = list(elements) if every or not organic else organic
    numbers = np.resize(np.array(known, np.int64), 8 if every else 6)
    corners = np.array(list(itertools.product((0.0, _SPACING), repeat=3)))[: len(numbers)]
    return numbers, corners + _JITTER * rng.uniform(-1, 1, size=(_FRAMES, len(numbers), 3))


_OTHERS = {
    "mace": "MACE",
    "nequip": "NequIP",
    "allegro": "Allegro",
    "torchani": "TorchANI",
    "so3krates_torch": "SO3LR",
    "chgnet": "CHGNet",
    "matgl": "MatGL",
}
"""Packages whose models are known by name and not read."""


class NeedsItsLibrary(InputError):
    """A model that only its own library can evaluate, in another Python."""

    def __init__(self, source: str, holds: str, family: str) -> None:
        self.reason = f"{source} holds {holds}, which only that library can evaluate"
        super().__init__(
            f"{self.reason}: if you trust whoever made it, call 'fisherdash import FILE --family "
            f"{family} --python THEIRS/bin/python --trust-this-file' with the Python that has the "
            "library"
        )


FEW_FILES = 1000
"""Of a folder; an ensemble of eight networks has some 370."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """A file that became a checkpoint.

    Attributes:
        checkpoint: the model.
        probe: how well it passed.
        library: whose file it was.
        readout: in words, how the energy is made.
        energy_unit: of the file.
        notes: what the user should know.
        fixed_terms: in words, what of the energy no head changes.
    """

    checkpoint: Checkpoint
    probe: Probe
    library: str
    readout: str
    energy_unit: str
    notes: tuple[str, ...]
    fixed_terms: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What was found, and what the user should know."""
        cutoff = self.checkpoint.potential.cutoff
        said = f"{self.library}: {self.readout}, cutoff {cutoff:g} Å."
        return [said, *(f"{note[0].upper()}{note[1:]}." for note in self.notes)]

    def summary(self) -> dict[str, Any]:
        """What ``fisherdash import --json`` prints."""
        model = self.checkpoint
        return {
            "family": model.potential.family,
            "library": self.library,
            "parameters": model.provenance["parameters"],
            "descriptors": len(model.head),
            "readout": self.readout,
            "fixed_terms": list(self.fixed_terms),
            "elements": [chemical_symbols[z] for z in model.elements],
            "cutoff_A": model.potential.cutoff,
            "precision": model.provenance["precision"],
            "energy_unit": self.energy_unit,
            "probe_relative_error": self.probe.head_error,
            "force_relative_error": self.probe.force_error,
            "fingerprint": model.fingerprint,
            "notes": list(self.notes),
        }


def load(path: Path, settings: ImportSettings, *, name: str) -> Imported:
    """The checkpoint that a file or a folder becomes, see :func:`load_bytes`."""
    source = path.resolve().name if path.is_dir() else path.name
    return _imported(content(path), settings, source, name)


def calculator(which: str, *, name: str) -> Checkpoint:
    """GFN2-xTB, or the ASE calculator ``module:object``, as a checkpoint without a head to re-fit.

    InputError for a calculator that the owner of the machine has not named, or that cannot be had.
    """
    potential = Calculated(which)
    potential.labeller()
    return Checkpoint(
        potential=potential,
        body={},
        head=np.zeros(1),
        element_bias=np.zeros(MAX_ATOMIC_NUMBER + 1),
        elements=potential.elements,
        name=name,
        provenance={"made_by": "import", "library": which},
    )


def content(path: Path) -> bytes | dict[str, bytes]:
    """A file, or the files of a folder by their names in it; InputError for what is too large."""
    if path.is_dir():
        return _files(path)
    if path.stat().st_size > inert.MOST_BYTES:
        raise InputError(f"{path.name} has more than {inert.MOST_BYTES} bytes; no model has")
    return _unzipped(storage.content(path, inert.MOST_BYTES), path.name)


def _unzipped(data: bytes, source: str) -> bytes | dict[str, bytes]:
    """The files of a zip of NeuroChem's folder by their names in it; any other file as it is."""
    # Names stand in a zip as they are; torch's files, which are zips too, have no such name.
    if ani.MAIN.encode() not in data:
        return data
    files = archives.members(data, source)
    if files is None:
        return data
    outside = [name for name in files if ".." in name.split("/") or name.startswith("/")]
    if outside:
        raise InputError(f"{source} has a file outside its folder, {reprlib.repr(outside[0])}")
    return files


def _files(folder: Path) -> dict[str, bytes]:
    """Files of NeuroChem's folder, of one network or of an ensemble, by their names there."""
    inside = itertools.chain(*map(folder.glob, ("*", "*/*", "*/networks/*")))
    real = (path for path in inside if path.is_file() and not path.is_symlink())
    paths = list(itertools.islice(real, FEW_FILES + 1))
    size = sum(path.stat().st_size for path in paths)
    if len(paths) > FEW_FILES or size > inert.MOST_BYTES:
        raise InputError(
            f"{folder.name} has {len(paths)} files or more, of {size} bytes; a folder of NeuroChem "
            f"has at most {FEW_FILES}, of {inert.MOST_BYTES}"
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def load_bytes(
    data: bytes, settings: ImportSettings, *, source: str = "the upload", name: str = "model"
) -> Imported:
    """The checkpoint that a file of another program becomes.

    Args:
        data: the file.
        settings: what it does not say.
        source: name of the file, for sentences and provenance.
        name: for the checkpoint.

    Raises:
        InputError: for anything that cannot be taken over, with the reason.
    """
    return _imported(_unzipped(data, source), settings, source, name)


def _imported(
    data: bytes | Mapping[str, bytes], settings: ImportSettings, source: str, name: str
) -> Imported:
    found = _found(data, source)
    return imported(found, settings, source=source, sha256=_digest(data), name=name)


def imported(
    found: Found, settings: ImportSettings, *, source: str, sha256: str, name: str
) -> Imported:
    """What was found as a checkpoint that has passed the probe; arguments as before."""
    checkpoint = _as_checkpoint(found, settings, source, sha256, name)
    tested = probe(checkpoint)
    if not tested.passed:
        raise InputError(
            f"{source} does not behave as a potential that is linear in its last layer: off by "
            f"{tested.head_error:.1e} (at most {MOST_HEAD_ERROR:.0e}), its forces off the slope of "
            f"its energy by {tested.force_error:.1e} (at most {MOST_FORCE_ERROR:.0e})"
        )
    notes = list(found.notes)
    if settings.elements is None and found.elements is None:
        notes.append(
            "the file does not say which elements the model was trained on; all "
            f"{len(checkpoint.elements)} that it has numbers for are taken: give --elements to "
            "name them"
        )
    unit = checkpoint.provenance["energy_unit"]
    return Imported(
        checkpoint, tested, found.library, found.readout, unit, tuple(notes), found.fixed_terms
    )


def taken_over(
    data: bytes | Mapping[str, bytes], settings: ImportSettings, *, source: str, name: str
) -> tuple[Checkpoint, Found]:
    """The checkpoint before its probe, and what was found; arguments as for :func:`load_bytes`."""
    found = _found(data, source)
    return _as_checkpoint(found, settings, source, _digest(data), name), found


def _as_checkpoint(
    found: Found, settings: ImportSettings, source: str, sha256: str, name: str
) -> Checkpoint:
    energy_unit = settings.energy_unit or found.energy_unit
    if energy_unit is None:
        raise InputError(
            f"{source} does not say in which unit its energies are; give --units, one of "
            f"{', '.join(ENERGY_UNITS)} ({found.hint})"
        )
    unit = ENERGY_UNITS[energy_unit]
    elements = _elements(settings.elements, found.potential.elements, found.elements)
    return Checkpoint(
        potential=found.potential,
        body=found.body,
        head=found.head * unit,
        form=found.form,
        element_bias=found.element_bias * unit,
        elements=elements,
        name=name,
        provenance={
            "made_by": "import",
            "library": found.library,
            "file": source,
            "file_sha256": sha256,
            "energy_unit": energy_unit,
            "precision": found.precision,
            "parameters": found.parameters,
            **found.provenance,
        },
    )


def _found(data: bytes | Mapping[str, bytes], source: str) -> Found:
    """What the file or the folder holds; InputError, with the reason, if it is not read."""
    if isinstance(data, Mapping):
        if not any(name.rpartition("/")[2] == ani.MAIN for name in data):
            raise InputError(
                f"{source} is a folder without {ani.MAIN}: no network of NeuroChem, nor an "
                "ensemble of them in train0, train1, …"
            )
        return ani.read(data, source)
    model = inert.load_bytes(data, source)
    if not schnetpack.is_schnetpack(model):
        raise _unknown(model, source)
    return schnetpack.read(model)


def _digest(data: bytes | Mapping[str, bytes]) -> str:
    if not isinstance(data, Mapping):
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256()
    for name, content in sorted(data.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


_OUTSIDE = {"mace": "mace", "so3krates_torch": "so3lr", "nequip": "nequip"}
"""Packages whose models another Python evaluates, and the name of their family."""


def _unknown(model: Any, source: str) -> InputError:
    """Why a file is not read."""
    if isinstance(model, dict):
        if _target(model).startswith("nequip."):
            return _unknown(Record(_target(model)), source)
        return InputError(
            f"{source} holds a dictionary, weights without their model; save the model itself with "
            "torch.save(model, file)"
        )
    if not isinstance(model, Record):
        return InputError(f"{source} holds a {type(model).__name__} and no model")
    package = model.name.partition(".")[0]
    whose = f"a model of {_OTHERS[package]}" if package in _OTHERS else "a model"
    holds = f"{whose}, {model.name[:100]}"
    if package in _OUTSIDE and not storage.is_shared():
        return NeedsItsLibrary(source, holds, _OUTSIDE[package])
    return InputError(
        f"{source} holds {holds}, which is not read; models of SchNetPack "
        f"({' and '.join(schnetpack.REPRESENTATIONS)}) are"
    )


def _target(checkpoint: dict[Any, Any]) -> str:
    """What makes the model of a training, as NequIP writes it down; "" for others."""
    settings = checkpoint.get("hyper_parameters")
    model = settings.get("model") if isinstance(settings, dict) else None
    target = model.get("_target_") if isinstance(model, dict) else None
    return target if isinstance(target, str) else ""


def _elements(
    asked: str | None, possible: tuple[int, ...], said: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Atomic numbers from symbols that were asked for, or what the file says or allows."""
    if asked is None:
        return tuple(z for z in said or possible if z in possible)
    words = asked.replace(",", " ").split()
    unknown = [word for word in words if not 1 <= atomic_numbers.get(word, 0) <= possible[-1]]
    if unknown or not words:
        raise InputError(
            f"the elements are symbols such as H,C,O that the model has numbers for, received "
            f"{joined(map(repr, unknown)) if words else repr(asked)}"
        )
    return tuple(sorted({atomic_numbers[word] for word in words}))
