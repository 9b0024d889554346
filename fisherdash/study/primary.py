"""The primary question of a study, written down before there is an answer.

    [primary]
    head = "wide"          # do more trajectories survive with this head
    against = "default"    # than with this one,
    temperature = 500      # under this condition?
    smallest = 10          # percentage points: a smaller change would not matter
    models = 200           # as planned; the power of the test follows from these three
    spread = 22            # standard deviation between models in a pilot, percentage points

One comparison, one condition, one endpoint: the share of a model's trajectories that survive to the
end. A study's folder keeps every wording of the question with its date and with the number of runs
that were finished by then, so that a question that came after the answer is told from one that came
before.
"""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.settings import MDSettings, Settings, like, setting
from fisherdash.settings import fields as toml
from fisherdash.study import store

FILE: Final = "questions.json"
DEFAULT_HEAD: Final = "default"


# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class Primary(Settings):
    """Do more trajectories survive to the end with ``head`` than ``against`` it?"""

    head: str
    against: str = DEFAULT_HEAD
    temperature: float | None = like(MDSettings, "temperature", None, unset="the only one")
    timestep: float | None = like(MDSettings, "timestep", None, unset="the only one")
    smallest: float | None = setting(
        None, label="Smallest effect of interest", unit="percentage points", above=0, high=100,
        unset="not said", help="A smaller change of the share of survivors would not matter.",
    )
    models: int | None = setting(
        None, label="Models planned", low=2, high=10**6, unset="not said",
        help="As planned; with the two others it gives the power of the test.",
    )
    spread: float | None = setting(
        None, label="Spread in a pilot", unit="percentage points", above=0, high=200,
        unset="not said", help="Standard deviation between the effects of models in a pilot.",
    )


    @property
    def sides(self) -> tuple[str, str]:
        """What is compared with, and what is asked about."""
        return self.against, self.head


# fmt: on


def question_of(table: Any) -> Primary | None:
    """The question of a table ``[primary]``, None where it is left out; InputError if wrong."""
    if table is None:
        return None
    toml.only(table, "[primary]", ("head", "against", *toml.names(Primary)))
    for name in ("head", "against"):
        if not isinstance(table.get(name, DEFAULT_HEAD), str):
            raise InputError(
                f"[primary] {name} must be text in quotes, received {table[name]!r:.60}"
            )
    if "head" not in table:
        raise InputError('[primary] needs "head", the re-fit that it asks about')
    return toml.build(Primary, table, "[primary]")


def read_primary(
    table: Any, heads: Sequence[str], dynamics: Sequence[MDSettings]
) -> Primary | None:
    """The question of a table ``[primary]``, None where it is left out.

    Raises:
        InputError: for heads that the study does not have, or a condition that is not one of its.
    """
    found = question_of(table)
    if found is None:
        return None
    for name in (found.head, found.against):
        if name not in (DEFAULT_HEAD, *heads):
            raise InputError(
                f"[primary] names the head {name!r}; there are {', '.join((DEFAULT_HEAD, *heads))}"
            )
    if found.head == found.against:
        raise InputError(f"[primary] compares two heads; both are {found.head!r}")
    there = [(one.temperature, one.timestep) for one in dynamics]
    fitting = matching(found, there)
    if len(fitting) != 1:
        words = ", ".join(f"{temperature:g} K at {step:g} fs" for temperature, step in there)
        raise InputError(
            f"[primary] asks about one condition, and {len(fitting)} of those in [dynamics] fit; "
            f"name one of {words}"
        )
    return found


def matching(
    question: Primary, conditions: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The conditions (K, fs) that a question can be about."""
    wanted = (question.temperature, question.timestep)
    return [
        one
        for one in conditions
        if all(asked in (None, value) for asked, value in zip(wanted, one, strict=True))
    ]


MOST_BYTES = 10_000_000
"""Of all wordings."""


@dataclasses.dataclass(frozen=True)
class Registered:
    """A wording of the question, and when it was given.

    Attributes:
        date: UTC, ISO 8601.
        digest: of the wording.
        runs: finished by then; 0 where the question came before any result.
        question: the table ``[primary]``; None where there was none.
    """

    date: str
    digest: str
    runs: int
    question: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        if not (
            isinstance(self.date, str)
            and isinstance(self.digest, str)
            and type(self.runs) is int
            and isinstance(self.question, dict | None)
        ):
            raise InputError("a wording has a date, a digest, a number of runs and a question")


def register(folder: Path, question: Primary | None) -> None:
    """Note in a study's folder what is asked from now on, where that is new."""
    fields = None if question is None else question.to_json()
    digest = store.digest(fields)
    known = registered(folder)
    if (known[-1].digest if known else None) == digest or (not known and question is None):
        return
    runs = sum(1 for _ in (folder / "members").glob("*/run-*.json"))
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    every = [*known, Registered(date, digest, runs, fields)]
    with storage.replacing(folder / FILE) as part:
        text = json.dumps([dataclasses.asdict(one) for one in every], indent=1)
        part.write_text(text + "\n", encoding="utf-8")


def registered(folder: Path) -> tuple[Registered, ...]:
    """Every wording, the oldest first; empty for a study without a question.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / FILE
    try:
        known = json.loads(storage.content(path, MOST_BYTES))
        return tuple(Registered(**one) for one in known)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged; it must be a list of questions with date, digest, runs and "
            "question"
        ) from error
