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
    ("_eV_per_A", "eV/Å"),
    ("_meV", "meV"),
    ("_eV", "eV"),
    ("_ps", "ps"),
    ("_K", "K"),
)


OUR_KEYS: Final = ("boltzmann",)
"""Nested results with keys of ours; in all the others the keys are names of checkpoints."""


def table(result: Mapping[str, Any]) -> str:
    """The result for a person: one aligned line a number, its unit taken from the key."""
    rows = list(_rows(json_safe(result)))
    name_width = max((len(name) for name, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    lines = (f"{name:<{name_width}}  {value:>{value_width}} {unit}" for name, value, unit in rows)
    return "\n".join(line.rstrip() for line in lines)


def _rows(
    result: Mapping[str, Any], head: str = "", unit: str = "", keys: bool = True
) -> Iterator[tuple[str, str, str]]:
    """``keys``: the keys are ours and may end in a unit; else they are a user's names."""
    for key, value in result.items():
        ending, own_unit = "", unit
        if keys:
            ending, own_unit = next((pair for pair in UNITS if key.endswith(pair[0])), ("", unit))
        name = head + (key.removesuffix(ending).replace("_", " ") if keys else key)
        if isinstance(value, dict):
            yield from _rows(value, f"{name}, ", own_unit, keys=key in OUR_KEYS)
        elif isinstance(value, list):
            for number, item in enumerate(value, start=1):
                yield from _rows({f"{number}": item}, f"{name} ", own_unit, keys=False)
        else:
            yield name, _readable(value), own_unit if value is not None else ""


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
