"""A head and constants of the energy back into a file that SchNetPack wrote.

The file is copied entry by entry, and only the numbers of the last layer, and of the single atoms'
energies where it has them, are others. Nothing of the file is run.
"""

import io
import zipfile

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.potentials import inert
from fisherdash.potentials.inert import Record, Tensor
from fisherdash.potentials.inert.archive import Archive
from fisherdash.potentials.inert.records import DTYPES
from fisherdash.potentials.schnetpack.reading import in_order, last_layer, part

Numbers = dict[str, bytes | memoryview]
"""Content of the entries of an archive by their names."""
_DAY = (1980, 1, 1, 0, 0, 0)  # of every entry, as torch has it


def with_head(
    data: bytes,
    source: str,
    head: Float[np.ndarray, " features"],
    change: Float[np.ndarray, " elements"],
) -> tuple[bytes, bool]:
    """The file with another head.

    Args:
        data: the file.
        source: what it is called, for sentences.
        head: in the file's unit.
        change: what is added to the constants by atomic number, in the file's unit.

    Returns:
        The new file, and whether it holds the constants: without energies of single atoms in it
        they stay what they were.
    """
    model = inert.load_bytes(data, source)
    archive = Archive.of(data, source)
    numbers: Numbers = {name: archive.read(name) for name in archive.entries}
    _write(numbers, last_layer(model), "weight", head[None])
    references = _references(model)
    if references is not None:
        known = references.get("atomref").array()
        count = min(known.size, len(change))
        flat = known.reshape(-1).astype(np.float64)
        flat[:count] += change[:count]
        _write(numbers, references, "atomref", flat.reshape(known.shape))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as out:
        for name, content in numbers.items():
            out.writestr(zipfile.ZipInfo(name, _DAY), bytes(content))
    return stream.getvalue(), references is not None


def _references(model: Record) -> Record | None:
    """What adds the energies of single atoms, where something does."""
    return next(
        (one for one in in_order(part(model, "postprocessors"))
         if one.kind == "AddOffsets" and one.get("add_atomrefs")
         and model.get("do_postprocessing", True) is not False),
        None,
    )  # fmt: skip


def _write(numbers: Numbers, record: Record, name: str, values: np.ndarray) -> None:
    """Puts the values where the numbers of a tensor lie."""
    tensor = record.get(name)
    if not isinstance(tensor, Tensor) or tensor.shape != values.shape:
        raise InputError(f"the file has no numbers {name!r} of the shape {values.shape}")
    entry, kind = tensor.storage.entry, DTYPES[tensor.storage.kind]
    flat = np.frombuffer(numbers[entry], kind).copy()
    strides = tuple(stride * flat.itemsize for stride in tensor.strides)
    place = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides)
    place[...] = values
    numbers[entry] = flat.tobytes()
