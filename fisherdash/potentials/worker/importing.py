"""A model that only its own library can evaluate becomes a checkpoint, or is refused.

With θ₀ the library's own last layers, v any other weights and D = Σ_i h_i, the library's energies
and forces have to be

    U(θ₀) = U₀ + θ₀·D + Σ_i c_z(i),    U(θ₀ + v) − U(θ₀) = v·D,    F(θ₀ + v) − F(θ₀) = −∂(v·D)/∂x,

where θ₀ + v was written into the library's model. This shows that the features are what the last
layers multiply, and all of it; :mod:`fisherdash.potentials.foreign` then looks at what is made of
them here.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fisherdash.errors import InputError
from fisherdash.potentials import foreign
from fisherdash.potentials.foreign import (
    MOST_HEAD_ERROR,
    Imported,
    clusters,
    random_heads,
    relative,
    worst,
)
from fisherdash.potentials.origin import Found
from fisherdash.potentials.worker import client, trusted
from fisherdash.potentials.worker.client import Client
from fisherdash.potentials.worker.outside import Outside
from fisherdash.settings import ImportSettings, OutsideSettings


def load(path: Path, settings: ImportSettings, outside: OutsideSettings, *, name: str) -> Imported:
    """The checkpoint that a model of another library becomes.

    Args:
        path: of the file.
        settings: what the file does not say.
        outside: family and Python, and the user's word that the file may be opened.
        name: for the checkpoint.

    Raises:
        InputError: without that word, on a shared server, and for anything that cannot be taken
            over, with the reason.
    """
    check(path, outside)
    assert outside.family is not None and outside.python is not None
    with trusted.trusting(path, outside.family, outside.python, keep=True) as word:
        return _opened(word, settings, outside, name)


def check(path: Path, outside: OutsideSettings) -> None:
    """InputError unless the user has said which library may open the file, on their own machine."""
    trusted.check_allowed()
    if outside.family is None or outside.python is None:
        missing = "--family" if outside.family is None else "--python"
        raise InputError(
            f"{missing} is missing: a model of another library needs --family mace, so3lr or "
            "nequip and --python, the Python that has it"
        )
    if not outside.trusted:
        raise InputError(
            f"to open {path.name} is to run whatever is written in it, as you: its library "
            "unpickles it; add --trust-this-file if it comes from somebody whose programs you "
            "would run"
        )


def _opened(
    word: trusted.Trusted, settings: ImportSettings, outside: OutsideSettings, name: str
) -> Imported:
    asked = {name: getattr(outside, name) for name in ("family", "charge", "unpaired")}
    options = Outside(**asked, mace_head=outside.mace_head or "").options
    process = client.running(word, options)
    found = _found(process, settings, options)
    _check(process, found)
    return foreign.imported(found, settings, source=word.name, sha256=word.sha256, name=name)


def _found(process: Client, settings: ImportSettings, options: dict[str, Any]) -> Found:
    """What the other end says; InputError for what makes no sense."""
    facts, word = process.facts, process.trusted
    texts = ("library", "readout", "precision")
    lists = ("fixed_terms", "notes")
    good = (
        all(isinstance(facts.get(one), str) for one in texts)
        and all(isinstance(facts.get(one), list) for one in lists)
        and all(isinstance(text, str) for one in lists for text in facts[one])
        and isinstance(facts.get("parameters"), int)
        and isinstance(facts.get("trained"), list | None)
    )
    if not good:
        raise InputError(f"the library of {word.name} describes its model in no way that is known")
    said = {one: client.line(facts[one]) for one in texts}
    unit = settings.energy_unit or facts.get("energy_unit")
    potential = Outside.from_json(
        {
            **Outside().to_json(),
            "family": word.family,
            "sha256": word.sha256,
            "num_features": facts["features"],
            "cutoff": facts.get("cutoff"),
            "elements": facts.get("elements"),
            "fixed": bool(facts["fixed_terms"]),
            **({"energy_unit": unit} if unit is not None else {}),
            **options,
        }
    )
    return Found(
        library=said["library"],
        potential=potential,
        body={},
        head=process.arrays["theta"],
        element_bias=process.arrays["constants"],
        elements=None if facts["trained"] is None else tuple(facts["trained"]),
        parameters=facts["parameters"],
        precision=said["precision"],
        readout=said["readout"],
        hint="MACE is mostly trained in eV",
        notes=tuple(map(client.line, facts["notes"])),
        fixed_terms=tuple(map(client.line, facts["fixed_terms"])),
        energy_unit=facts.get("energy_unit"),
    )


def _check(process: Client, found: Found) -> None:
    """InputError where the library's energies and forces are not those above."""
    known = found.elements or found.potential.elements
    elements = [z for z in known if z in found.potential.elements]
    rng = np.random.default_rng(0)
    numbers, frames = clusters(elements, rng, every=True)
    fixed = bool(found.fixed_terms)
    shape = (*frames.shape[:2], len(found.head))
    where = {"numbers": numbers, "positions": frames}
    outputs = {"h": shape, **({"fixed": shape[:1]} if fixed else {})}
    own_shapes = {"energy": shape[:1], "forces": frames.shape}
    values = process.ask("per_atom", where, outputs)

    def pulled(weights: np.ndarray, share: float) -> np.ndarray:
        """−F of the part w·D and a share of U₀, by the library."""
        given = {"h": np.broadcast_to(weights, shape)}
        if fixed:
            given["fixed"] = np.full(shape[0], share)
        return process.ask("pull", where | given, {"x": frames.shape})["x"]

    sums = values["h"].sum(axis=1)
    expected = values.get("fixed", 0.0) + sums @ found.head + found.element_bias[numbers].sum()
    own = process.ask("energy_and_forces", where, own_shapes)
    errors = [
        # Constants of thousands of eV cost digits of the energy, not of what changes.
        relative(own["energy"], expected, np.abs(expected).max()),
        relative(own["forces"], -pulled(found.head, 1.0)),
    ]
    for v in random_heads(found.head, rng):
        other = process.ask("energy_and_forces", where | {"theta": found.head + v}, own_shapes)
        errors.append(relative(other["energy"] - own["energy"], sums @ v))
        errors.append(relative(other["forces"] - own["forces"], -pulled(v, 0.0)))
    error = worst(errors)
    if not error <= MOST_HEAD_ERROR:
        raise InputError(
            f"{process.trusted.name} is not linear in its last layers as {found.library} evaluates "
            f"it: off by {error:.1e} (at most {MOST_HEAD_ERROR:.0e})"
        )
