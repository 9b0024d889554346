"""Settings out of a TOML file, each refused in one sentence that says what would be right."""

from collections.abc import Mapping, Sequence
from typing import Any

from fisherdash.errors import InputError


def build(kind: type, fields: Mapping[str, Any], where: str) -> Any:
    """An object of settings; what it refuses, with the place in the file in front."""
    try:
        return kind(**fields)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except TypeError as error:
        raise InputError(
            f"{where}: a setting has the wrong type ({dict(fields)!r:.200})"
        ) from error


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
    return dict(tables)


def listed(value: Any) -> list[Any]:
    """A list of different values, also of a single one."""
    return list(dict.fromkeys(value)) if isinstance(value, list) and _plain(value) else [value]


def _plain(values: list[Any]) -> bool:
    if not all(isinstance(value, (int, float, str, bool)) for value in values):
        raise InputError(f"a list of settings holds numbers or words, received {values!r:.60}")
    return True


def value(table: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A setting of one type."""
    value = table.get(name, default)
    if not isinstance(value, kind):
        raise InputError(f"{name} must be {_KINDS[kind]}, received {value!r:.60}")
    return value


_KINDS = {str: "text in quotes", int: "a whole number"}


def counted(table: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number from 1."""
    value = table.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number from 1, received {value!r:.60}")
    return value


def number(value: Any, above: float) -> bool:
    """Whether it is a number above a bound (and below 1e9)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and above < value < 1e9
