"""The kinds of potentials by name: the one place beside their own packages that names them."""

from typing import Any

from fisherdash.errors import InputError
from fisherdash.potentials.e3x import E3x
from fisherdash.potentials.potential import Potential, Trainable
from fisherdash.settings import ModelConfig

DEFAULT = "e3x"
"""The family of files that name none."""


def from_json(family: str, fields: Any) -> Potential:
    """The potential whose ``to_json`` gave these fields; InputError for others."""
    if family != E3x.family:
        raise InputError(f"the family of a potential is {E3x.family!r}, received {family!r}")
    return E3x(ModelConfig.from_json(fields))


def trainable(config: ModelConfig) -> Trainable:
    """The network that a training of this configuration learns."""
    return E3x(config)
