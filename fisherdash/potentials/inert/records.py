"""What is read from a file in place of live objects: names, records and tensors.

A :class:`Named` is all that becomes of a class or a function that a file names: its name. Nothing
looks it up. A :class:`Record` stands for an object that the file asks to be made with it.
"""

import dataclasses
import math
import reprlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Shaped

from fisherdash.errors import InputError
from fisherdash.potentials.inert.archive import Archive

MOST_DIMENSIONS = 16
LONGEST_KEY = 300
"""Characters of the name of a storage."""
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
"""Torch's names of storages → what NumPy calls their numbers."""


@dataclasses.dataclass(frozen=True)
class Named:
    """The full name of a class or a function, "torch.nn.functional.silu"."""

    name: str


@dataclasses.dataclass(eq=False)
class Record:
    """An object that a file describes.

    Attributes:
        name: full name of its class, or of the function that would have made it.
        args: what the class or the function would have been given.
        state: what the object would have been filled with, most often a dict of its attributes.
        items: what would have been appended to it or set in it, pairs of key and value.
    """

    name: str
    args: tuple[Any, ...] = dataclasses.field(default=(), repr=False)
    state: Any = dataclasses.field(default=None, repr=False)
    items: list[Any] = dataclasses.field(default_factory=list, repr=False)

    @property
    def kind(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute; of torch's modules also parameters, buffers and parts."""
        state = self.state if isinstance(self.state, dict) else {}
        places = (state, *(state.get(one) for one in ("_parameters", "_buffers", "_modules")))
        found = (one[attribute] for one in places if isinstance(one, dict) and attribute in one)
        return next(found, default)

    def parts(self) -> dict[str, Any]:
        """The modules that torch would find in it, by their names."""
        found = self.state.get("_modules") if isinstance(self.state, dict) else None
        return found if isinstance(found, dict) else {}

    def modules(self) -> Iterator["Record"]:
        """It and all modules within it, each once, however deep and whatever holds what."""
        seen = {id(self)}
        ahead: list[Record] = [self]
        while ahead:
            one = ahead.pop()
            yield one
            for inner in one.parts().values():
                if isinstance(inner, Record) and id(inner) not in seen:
                    seen.add(id(inner))
                    ahead.append(inner)

    def trained(self) -> int:
        """How many numbers its own parameters have, without those of its parts."""
        own = self.state.get("_parameters") if isinstance(self.state, dict) else None
        tensors = own.values() if isinstance(own, dict) else ()
        return sum(math.prod(one.shape) for one in tensors if isinstance(one, Tensor))


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
    """Numbers that lie in an entry of the archive.

    Attributes:
        kind: torch's name of it, such as "FloatStorage".
        entry: that holds them.
        size: how many numbers there are.
    """

    kind: str
    entry: str
    size: int


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """An array of numbers in the archive, looked at only when it is asked for.

    Attributes:
        archive, storage: where the numbers are.
        offset: of the first one, in numbers.
        shape, strides: of the array, in numbers.
    """

    archive: Archive = dataclasses.field(repr=False)
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = len(self.shape) == len(self.strides) <= MOST_DIMENSIONS and all(
            type(one) is int and one >= 0 for one in (*self.shape, *self.strides, self.offset)
        )
        # A stride of zero repeats numbers; no parameter has more of them than are stored.
        count = math.prod(self.shape) if fits else 0
        fits = fits and count <= self.storage.size
        if fits and count:
            steps = zip(self.shape, self.strides, strict=True)
            last = self.offset + sum((length - 1) * stride for length, stride in steps)
            fits = last < self.storage.size
        if not fits:
            raise InputError(
                f"a tensor of the file has the shape {reprlib.repr(self.shape)}, the strides "
                f"{reprlib.repr(self.strides)} and the offset {reprlib.repr(self.offset)}, which "
                f"do not fit the {self.storage.size} numbers of its storage"
            )

    def array(self) -> Shaped[np.ndarray, "..."]:
        """A copy of the numbers; InputError for a kind of numbers that NumPy does not have."""
        if self.storage.kind not in DTYPES:
            raise InputError(
                f"the file holds numbers of the kind {self.storage.kind!r:.60}; "
                f"{', '.join(DTYPES)} are read"
            )
        flat = np.frombuffer(self.archive.read(self.storage.entry), DTYPES[self.storage.kind])
        strides = tuple(stride * flat.itemsize for stride in self.strides)
        # The shape was checked against the storage, and the storage against its entry.
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, strides, writeable=False
        )
        return view.copy()


def storage_of(archive: Archive, folder: str, pid: Any) -> Storage:
    """The storage that a persistent identifier ("storage", kind, key, place, size) names."""
    good = isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"
    good = good and isinstance(pid[1], Named) and isinstance(pid[2], str)
    if not good or len(pid[2]) > LONGEST_KEY:
        raise InputError(f"the file refers to something that is no storage: {reprlib.repr(pid)}")
    kind, size = pid[1].name.rpartition(".")[2], pid[4]
    entry = f"{folder}/data/{pid[2]}"
    bytes_there = archive.size(entry)
    item = np.dtype(DTYPES[kind]).itemsize if kind in DTYPES else None
    sound = type(size) is int and size >= 0 and bytes_there is not None
    if not sound or (item is not None and size * item != bytes_there):
        raise InputError(
            f"the file declares {reprlib.repr(size)} numbers of the kind {kind!r:.60} in the "
            f"entry {reprlib.repr(entry)}, which has {bytes_there or 'no'} bytes"
        )
    return Storage(kind, entry, size)


def made(maker: Any, args: Any, archive: Archive) -> Any:
    """What stands for ``maker(*args)``: a tensor, a container, or a record. Nothing is called."""
    if isinstance(maker, Record) and isinstance(args, tuple):
        return Record("call", (maker, args))  # of what another call would have given
    if not isinstance(maker, Named) or not isinstance(args, tuple):
        raise InputError(
            f"the file asks to call {reprlib.repr(maker)} with {reprlib.repr(args)}, which no "
            "model of torch does"
        )
    name = maker.name
    if name == "torch._utils._rebuild_tensor_v2" and len(args) >= 4:
        storage, offset, shape, strides = args[:4]
        if isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple):
            return Tensor(archive, storage, offset, shape, strides)
        raise InputError(f"the file describes a tensor by {reprlib.repr(args)}")
    if name.startswith("torch._utils._rebuild_parameter") and args and isinstance(args[0], Tensor):
        return args[0]
    if name == "collections.OrderedDict" and not args:
        return {}
    return Record(name, args)


def key(value: Any) -> Any:
    """A key of a dictionary: plain, or a few plain ones, so that its hash takes no time."""
    plain = (str, bytes, int, float, type(None), Named, Record, Storage, Tensor)
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > MOST_DIMENSIONS or not all(isinstance(part, plain) for part in parts):
        raise InputError(
            f"the file has a dictionary with a key of the kind {type(value).__name__}, which no "
            "model of torch has"
        )
    return value
