"""A command's result as JSON and as a table for a person."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final


def json_safe(value: Any) -> Any:
    """The same value in JSON's own types: NaN and infinities, which JSON lacks, become null."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and JAX scalars and arrays
        return json_safe(value.tolist())
    if isinstance(value, Sequence):
        return [json_safe(item) for item in value]
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON cannot carry")


UNITS: Final = (  # longest ending first
    ("_meV_per_atom_per_ps", "meV/atom/ps"),
    ("_kcal2_per_mol2", "(kcal/mol)²"),
    ("_eV_per_A", "eV/Å"),
    ("_meV", "meV"),
    ("_eV", "eV"),
    ("_ps", "ps"),
    ("_K", "K"),
)
UNITS_BESIDE_THE_KEY: Final = {"paired_difference": "meV/atom/ps"}
OUR_KEYS: Final = ("boltzmann",)
"""Nested results with keys of ours; in all the others the keys are names of checkpoints."""
FOR_SCRIPTS: Final = "details"
"""What is too long to read and only stands in the JSON."""

WIDEST_NUMBER: Final = 40
"""Values up to so many letters are set flush right, as numbers are read; longer ones are texts."""

Row = tuple[str, str, str]


def table(result: Mapping[str, Any]) -> str:
    """The result for a person: one aligned line a number, its unit taken from the key."""
    result = {key: value for key, value in result.items() if key != FOR_SCRIPTS}
    rows = [row for key, value in json_safe(result).items() for row in _named(key, value, "")]
    name_width = max((len(name) for name, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    side = ">" if value_width <= WIDEST_NUMBER else "<"
    lines = (
        f"{name:<{name_width}}  {value:{side}{value_width}} {unit}" for name, value, unit in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _named(key: str, value: Any, head: str) -> Iterator[Row]:
    """Rows of a key of ours, which may end in its unit."""
    nowhere = ("", UNITS_BESIDE_THE_KEY.get(key, ""))
    ending, unit = next((pair for pair in UNITS if key.endswith(pair[0])), nowhere)
    name = head + key.removesuffix(ending).replace("_", " ")
    if key in OUR_KEYS and isinstance(value, dict):
        for inner, item in value.items():
            yield from _named(inner, item, f"{name}, ")
    else:
        yield from _rows(name, value, unit)


def _rows(name: str, value: Any, unit: str) -> Iterator[Row]:
    if isinstance(value, dict) and {"median", "low", "high"} <= set(value):
        yield name, _interval(value), unit if value["median"] is not None else ""
        if "p_value" in value:
            yield f"{name}, p value", _readable(value["p_value"]), ""
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _rows(f"{name}, {key}", item, unit)
    elif isinstance(value, list):
        for number, item in enumerate(value, start=1):
            yield from _rows(f"{name} {number}", item, unit)
    else:
        yield name, _readable(value), unit if value is not None else ""


def _interval(value: Mapping[str, Any]) -> str:
    middle = _readable(value["median"])
    if value["low"] is None:
        return middle
    return f"{middle} ({_readable(value['low'])} to {_readable(value['high'])})"


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
