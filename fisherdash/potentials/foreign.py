"""The door for other people's models: a file becomes one of our checkpoints, or is refused.

What kind of file it is follows from the names of classes that the inert reader sees. The network is
taken over with all of its parameters, its last linear layer becomes the head, and every constant of
the energy goes into the element biases. A probe then shows that the energy is linear in the head
and the forces are its slope. The unit of energy is not in such files and has to be told.
"""

import dataclasses
import hashlib
from typing import Any

from ase.data import atomic_numbers, chemical_symbols

from fisherdash.errors import InputError
from fisherdash.potentials import inert
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.inert import Record
from fisherdash.potentials.probe import MOST_FORCE_ERROR, MOST_HEAD_ERROR, Probe, probe
from fisherdash.potentials.schnetpack import reading
from fisherdash.settings import ImportSettings
from fisherdash.text import joined
from fisherdash.units import ENERGY_UNITS

LIBRARY = "SchNetPack"
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
    """

    checkpoint: Checkpoint
    probe: Probe
    library: str
    readout: str
    energy_unit: str
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """What ``fisherdash import --json`` prints."""
        model = self.checkpoint
        return {
            "family": model.potential.family,
            "library": self.library,
            "parameters": model.provenance["parameters"],
            "descriptors": len(model.head),
            "readout": self.readout,
            "fixed_terms": [],
            "elements": [chemical_symbols[z] for z in model.elements],
            "cutoff_A": model.potential.cutoff,
            "precision": model.provenance["precision"],
            "energy_unit": self.energy_unit,
            "probe_relative_error": self.probe.head_error,
            "force_relative_error": self.probe.force_error,
            "fingerprint": model.fingerprint,
            "notes": list(self.notes),
        }


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
    checkpoint, found = taken_over(data, settings, source=source, name=name)
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
    return Imported(checkpoint, tested, LIBRARY, found.readout, unit, tuple(notes))


def taken_over(
    data: bytes, settings: ImportSettings, *, source: str, name: str
) -> tuple[Checkpoint, reading.Found]:
    """The checkpoint before it is probed, and what was found; as :func:`load_bytes` otherwise."""
    model = inert.load_bytes(data, source)
    if not reading.is_schnetpack(model):
        raise InputError(f"{source} {_unknown(model)}")
    found = reading.read(model)
    if settings.energy_unit is None:
        raise InputError(
            f"{source} does not say in which unit its energies are; give --units, one of "
            f"{', '.join(ENERGY_UNITS)} (SchNetPack's rMD17 models: kcal/mol)"
        )
    unit = ENERGY_UNITS[settings.energy_unit]
    elements = _elements(settings.elements, found.potential.elements, found.elements)
    precision = str(found.body["embedding"].dtype)
    checkpoint = Checkpoint(
        potential=found.potential,
        body=found.body,
        head=found.head * unit,
        element_bias=found.element_bias * unit,
        elements=elements,
        name=name,
        provenance={
            "made_by": "import",
            "library": LIBRARY,
            "file": source,
            "file_sha256": hashlib.sha256(data).hexdigest(),
            "energy_unit": settings.energy_unit,
            "precision": precision,
            "parameters": found.parameters,
        },
    )
    return checkpoint, found


def _unknown(model: Any) -> str:
    """Why a file is not read, as the rest of a sentence."""
    if isinstance(model, dict):
        return (
            "holds a dictionary, weights without their model; save the model itself with "
            "torch.save(model, file)"
        )
    if not isinstance(model, Record):
        return f"holds a {type(model).__name__} and no model"
    package = model.name.partition(".")[0]
    whose = f"a model of {_OTHERS[package]}" if package in _OTHERS else "a model"
    return (
        f"holds {whose}, {model.name[:100]}, which is not read; models of SchNetPack "
        f"({' and '.join(reading.REPRESENTATIONS)}) are"
    )


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
