"""A trained force field, in memory and on disk."""

from fisherdash.checkpoint.core import Checkpoint, energy_reference
from fisherdash.checkpoint.files import load, load_bytes, save

__all__ = ["Checkpoint", "energy_reference", "load", "load_bytes", "save"]
