"""Settings in a TOML file, each refused in one sentence that says what would be right."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fisherdash.errors import InputError
from fisherdash.settings.fields import Settings, shown
from fisherdash.text import cell

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
