"""The kinds of potentials by name, in the one place that knows them all."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fisherdash.errors import InputError
from fisherdash.potentials.ani import Ani
from fisherdash.potentials.calculated import Calculated
from fisherdash.potentials.e3x import E3x
from fisherdash.potentials.potential import Potential, Trainable
from fisherdash.potentials.schnetpack import PaiNN, SchNet
from fisherdash.potentials.worker import Outside
from fisherdash.settings import ModelConfig

DEFAULT: Final = "e3x"
"""The family of files that name none."""

FAMILIES: Final[Mapping[str, Callable[[Any], Potential]]] = {
    E3x.family: lambda fields: E3x(ModelConfig.from_json(fields)),
    PaiNN.family: PaiNN.from_json,
    SchNet.family: SchNet.from_json,
    Ani.family: Ani.from_json,
    Calculated.family: Calculated.from_json,
    **{family: Outside.reader(family) for family in ("mace", "so3lr")},
}
"""Name → what makes the potential of the fields in a file."""


def from_json(family: str, fields: Any) -> Potential:
    """The potential whose ``to_json`` gave these fields; InputError for others."""
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(
            f"the family of a potential is one of {', '.join(map(repr, FAMILIES))}, received "
            f"{family!r:.60}"
        )
    return FAMILIES[family](fields)


def trainable(config: ModelConfig) -> Trainable:
    """The network that a training of this configuration learns."""
    return E3x(config)
