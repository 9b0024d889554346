"""Models that torch wrote whole, read without torch and without running anything of them.

Such a file is a zip archive of a pickle, which says what the model is made of, and of its numbers.
Unpickling it would run whatever the file asks for. Here classes and functions stay names, and the
result consists of records, tensors, numbers, strings and containers, nothing else.

``records`` reads the zip archive and says what stands for objects, and ``machine`` goes through the
pickle.
"""

import reprlib
from typing import Any

from fisherdash.errors import InputError
from fisherdash.potentials.inert.machine import Machine
from fisherdash.potentials.inert.records import Archive, Named, Record, Storage, Tensor

MOST_BYTES = 200_000_000
"""Of a file."""


def load_bytes(data: bytes, source: str = "the upload") -> Any:
    """What a file of ``torch.save(model)`` describes, most often a :class:`Record`.

    Raises:
        InputError: for anything that is not such a file, one sentence; nothing of it runs.
    """
    if len(data) > MOST_BYTES:
        raise InputError(f"{source} has {len(data)} bytes; a model has at most {MOST_BYTES}")
    archive = Archive.of(data, source)
    if any(name.endswith("/model/package_metadata.txt") for name in archive.entries):
        return Record("nequip.nn.graph_model.GraphModel")  # a package: its own code beside it
    programs = [name for name in archive.entries if name.partition("/")[2] == "data.pkl"]
    if len(programs) != 1:
        raise InputError(
            f"{source} is a zip archive but no model that torch wrote: it has "
            f"{len(programs) or 'no'} descriptions 'data.pkl'"
        )
    folder = programs[0].partition("/")[0]
    order = f"{folder}/byteorder"
    if order in archive.entries and bytes(archive.read(order)) != b"little":
        raise InputError(
            f"the numbers of {source} are written in the byte order "
            f"{reprlib.repr(bytes(archive.read(order)))}; little-endian ones are read"
        )
    return Machine(bytes(archive.read(programs[0])), archive, folder).run()
