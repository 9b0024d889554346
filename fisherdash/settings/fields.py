"""One declaration of a setting: its type, default, limits, label and help.

A setting is a field of a frozen dataclass, made with :func:`setting`; its type gives what it holds
(``int``, ``float``, ``bool``, ``str``, a ``Literal`` of words, ``Literal[...] | float``, and
``| None`` where it may be left open). From this the checks below, the options of the shell
(:mod:`fisherdash.settings.shell`), the fields of a TOML file and the widgets of a page
(``pages/ui/widgets.py``) follow, so that a new setting is one line. What is wrong is refused in one
sentence that says what would be right.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from fisherdash.errors import InputError
from fisherdash.text import cell

_KEY = "setting"
MOST: int = 10**12
"""Upper limit of counts that only time and memory limit."""


@dataclasses.dataclass(frozen=True)
class Power:
    """A number that a page asks for as a power of ten, where none of the words was chosen."""

    label: str
    help: str
    low: float
    high: float
    usual: float


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting as it was declared.

    Attributes:
        name, default: of the field; ``dataclasses.MISSING`` where it has no default.
        kind: type of its number, or ``bool`` or ``str``; None where only words are allowed.
        optional: whether None is allowed.
        choices: the words that are allowed; (False, True) of a bool.
        label: on a page; "" where the setting is checked but shown nowhere.
        help: what it does and which values are usual; read beside the label or the option.
        unit: of the number.
        low, high: limits that are allowed themselves.
        above, below: limits that are not.
        step: of the arrows of its widget.
        flag: its option, where that is not the name with hyphens; False: it has none. A bool, and
            a pair of words with a flag, has an option without value that takes the other one.
        words: how a page calls the choices.
        unset: what stands for None; where None is not allowed, the shell's option has no default
            then and the command decides.
        required: the shell has no default for it.
        advanced: a page shows it under "More settings".
        power: how a page asks for the number of a setting that has words and a number.
        later: older files lack it and mean the default.
        reads: how the shell reads other spellings of the choices.
        omitted: as ``later``, and left out of JSON while it has the default, so that digests of
            older studies stay what they are. Or the value that files without it mean, where that is
            no longer the default.
    """

    name: str
    default: Any
    kind: type | None
    optional: bool
    choices: tuple[Any, ...]
    label: str = ""
    help: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    step: float | None = None
    flag: str | Literal[False] | None = None
    words: Mapping[Any, str] = dataclasses.field(default_factory=dict)
    unset: str = ""
    required: bool = False
    advanced: bool = False
    power: Power | None = None
    reads: Callable[[str], Any] | None = None
    later: bool = False
    omitted: bool | str = False

    @property
    def without(self) -> Any:
        """What a file that leaves an omitted setting out means."""
        return self.default if self.omitted is True else self.omitted

    @property
    def title(self) -> str:
        """The label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def switch(self) -> bool:
        """Whether the option takes no value and stands for the other of two choices."""
        return self.kind is bool or (len(self.choices) == 2 and bool(self.flag))

    @property
    def other(self) -> Any:
        """What the option of a switch stands for."""
        return next(choice for choice in self.choices if choice != self.default)

    def word(self, choice: Any) -> str:
        """How a page calls a choice."""
        return self.words.get(choice, {False: "off", True: "on"}.get(choice, str(choice)))

    @property
    def wanted(self) -> str:
        """What would be right, as the end of "must be"."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "text in quotes"
        parts = ["one of " + ", ".join(map(repr, self.choices))] if self.choices else []
        if self.kind is not None:
            noun = "a whole number " if self.kind is int else "a number " if parts else ""
            parts.append(f"{noun}{self._range} {self.unit}".rstrip())
        return " or ".join(parts)

    @property
    def _range(self) -> str:
        start = f"from {_plain(self.low)}" if self.above is None else f"above {_plain(self.above)}"
        if self.below is not None:
            return f"{start} {'and' if self.above is not None else 'to'} below {_plain(self.below)}"
        return f"{start} {'and at most' if self.above is not None else 'to'} {_plain(self.high)}"

    def check(self, value: Any) -> None:
        """Raises InputError, with what would be right, for a value that is not allowed."""
        if not ((self.optional and value is None) or self.allows(value)):
            raise InputError(f"{self.name} must be {self.wanted}, received {value!r:.60}")

    def allows(self, value: Any) -> bool:
        """Whether a value that is not None is allowed."""
        if isinstance(value, (bool, str)):
            return self.kind is type(value) or value in self.choices
        kinds: tuple[type, ...] = {int: (int,), float: (int, float)}.get(self.kind or str, ())
        return isinstance(value, kinds) and (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def setting(default: Any = dataclasses.MISSING, **described: Any) -> Any:
    """A field that is a setting; ``described`` are attributes of :class:`Setting`."""
    return dataclasses.field(default=default, metadata={_KEY: described})


def like(cls: type, name: str, default: Any = dataclasses.MISSING, **described: Any) -> Any:
    """A field that is declared as that of another class, but for what is given here."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    if default is dataclasses.MISSING:
        default = field.default
    return setting(default, **{**field.metadata[_KEY], **described})


@functools.cache
def settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings of a dataclass in their order; other fields are left out."""
    hints = get_type_hints(cls)
    return tuple(
        Setting(field.name, field.default, *_meaning(hints[field.name]), **field.metadata[_KEY])
        for field in dataclasses.fields(cls)
        if _KEY in field.metadata
    )


def shown(cls: type, without: tuple[str, ...] = ()) -> tuple[Setting, ...]:
    """The settings of a dataclass that have a label, but for some."""
    return tuple(one for one in settings_of(cls) if one.label and one.name not in without)


def _meaning(hint: Any) -> tuple[type | None, bool, tuple[Any, ...]]:
    """Kind, whether it is optional, and the choices of a field's type."""
    union = get_origin(hint) in (Union, types.UnionType)
    parts = get_args(hint) if union else (hint,)
    choices = tuple(c for part in parts if get_origin(part) is Literal for c in get_args(part))
    kinds = [part for part in parts if part in (int, float, bool, str)]
    kind = kinds[0] if kinds else None
    return kind, type(None) in parts, (False, True) if kind is bool else choices


def _plain(number: float | None) -> str:
    return str(number).removesuffix(".0")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings: refuses what is not allowed with an InputError, and knows JSON."""

    FIELDS: ClassVar[str] = "these settings have the fields"
    FLOATS: ClassVar[bool] = False
    """Whether whole numbers become floats where floats are meant; digests tell 1 from 1.0."""

    def __post_init__(self) -> None:
        for one in settings_of(type(self)):
            value = getattr(self, one.name)
            if one.kind is None and not one.choices:
                continue  # checked by its class
            one.check(value)
            if self.FLOATS and one.kind is float and isinstance(value, int):
                object.__setattr__(self, one.name, float(value))

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON-able dict."""
        omitted = {one.name: one.without for one in settings_of(type(self)) if one.omitted}
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value.to_json() if isinstance(value, Settings) else value
            for name, value in found.items()
            if name not in omitted or value != omitted[name]
        }

    @classmethod
    def from_json(cls, fields: Any) -> Self:
        """Inverse of :meth:`to_json`; raises InputError for missing or unknown fields."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        needed = set(known) - {one.name for one in settings_of(cls) if one.later or one.omitted}
        if not isinstance(fields, dict) or not needed <= set(fields) <= set(known):
            received = sorted(fields) if isinstance(fields, dict) else fields
            raise InputError(f"{cls.FIELDS} {sorted(known)}, received {received!r}")
        found = {one.name: one.without for one in settings_of(cls) if one.omitted} | fields
        for name in found:
            kind = known[name].default_factory
            if isinstance(kind, type) and issubclass(kind, Settings):
                found[name] = kind.from_json(found[name])
        return cls(**found)


S = TypeVar("S", bound=Settings)


def names(cls: type[Settings], *without: str) -> tuple[str, ...]:
    """The names that a table of these settings knows."""
    return tuple(one.name for one in shown(cls, without))


def build(cls: type[S], fields: Mapping[str, Any], where: str) -> S:
    """The settings; what they refuse, with the place in the file in front."""
    try:
        return cls(**fields)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def part(cls: type[Settings], table: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """What a table says about these settings."""
    return {name: table[name] for name in names(cls, *without) if name in table}


def only(table: Any, where: str, known: Sequence[str]) -> None:
    """Refuses what is no table, and settings that are not known there."""
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table of settings, received {table!r:.60}")
    for name in table:
        if name not in known:
            raise InputError(f"{where} knows {', '.join(known)}; received {name!r}")


def tables(found: Mapping[str, Any], name: str) -> list[Any]:
    """The tables of [[name]]; at least one."""
    tables = found.get(name, [])
    if not isinstance(tables, list):
        raise InputError(f"write [[{name}]] with two brackets: there may be several")
    if not tables:
        raise InputError(f"a study needs at least one [[{name}]] table")
    return tables


def named_tables(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The tables of [name.NAME] by name; there may be none."""
    tables = found.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise InputError(f"write [{name}.NAME] with a name of your own for every {name} table")
    for key in tables:
        if not key.strip() or len(key) > 60 or not key.isprintable():
            raise InputError(f"[{name}.NAME] needs a name of 1 to 60 characters, received {key!r}")
        if cell(key) != key:
            raise InputError(f"[{name}.NAME]: {key!r} would be a formula in a table; rename it")
    return dict(tables)


def listed(value: Any) -> list[Any]:
    """A list of different values, also of a single one."""
    if not isinstance(value, list):
        return [value]
    if not all(isinstance(one, (int, float, str, bool)) for one in value):
        raise InputError(f"a list of settings holds numbers or words, received {value!r:.60}")
    return list(dict.fromkeys(value))
