"""What a training's ``training.json`` says: which network learns what, from which frames, and how.

Like a run's header it is one flat JSON object with the version of its format; see
:mod:`fisherdash.runs.trainings` for the files beside it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.errors import InputError
from fisherdash.runs import files
from fisherdash.runs.header import from_fields, utc_now, versions

FORMAT = 1
TRAINING = "training.json"


@dataclasses.dataclass(frozen=True)
class TrainingHeader:
    """Facts about one training; InputError when some are missing.

    Attributes:
        title: what the user reads in lists.
        name: of the model.
        config: hyperparameters of the network, as its ``to_json()`` gives them.
        settings: of the optimiser, as their ``to_json()`` gives them.
        dataset: ``source``, and ``train`` and ``valid``, each with ``frames`` and ``fingerprint``.
        command: the shell command that repeats the training.
        model: file name in the workspace under which the best network is kept at the end, once it
            has one.
        published: fingerprint of what was last kept there.
        versions: of the packages whose change could change a number.
        created: time of creation, UTC, ISO 8601.
        number: counts the trainings of a workspace; 0 outside one.
    """

    title: str
    name: str
    config: dict[str, Any]
    settings: dict[str, Any]
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""
    model: str = ""
    published: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=versions)
    created: str = dataclasses.field(default_factory=utc_now)
    number: int = dataclasses.field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, dict) or not isinstance(self.config, dict):
            raise InputError(f"{TRAINING} is damaged: settings and config must be JSON objects")
        if "epochs" not in self.settings:
            raise InputError("the training's settings lack epochs")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict with the format's version."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrainingHeader":
        """Inverse of :meth:`to_json`; InputError for unknown content."""
        return from_fields(cls, fields, TRAINING)


def read_training_header(folder: Path) -> tuple[TrainingHeader, dict[str, Any]]:
    """The header of a training's folder and the raw JSON object; InputError when it is none."""
    fields = files.load_json(folder / TRAINING, "training", FORMAT)
    return TrainingHeader.from_json(fields), fields
