"""What is read from a file in place of live objects: an archive, names, records and tensors.

Torch's zip archive compresses nothing, so nothing is unpacked here: an entry is a view of the
file's own bytes, and an archive cannot take more memory than the file has. Offsets and sizes come
from the central directory (PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16) and are
checked against the file before anything is looked at.

A :class:`Named` is all that becomes of a class or a function that a file names: its name. Nothing
looks it up. A :class:`Record` stands for an object that the file asks to be made with it.
"""

import dataclasses
import math
import reprlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from fisherdash.errors import InputError

MOST_ENTRIES = 20_000
LONGEST_NAME = 300
_END, _CENTRAL, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE, _CENTRAL_SIZE, _LOCAL_SIZE = 22, 46, 30
_STORED = 0


@dataclasses.dataclass(frozen=True)
class Archive:
    """Entries of an archive.

    Attributes:
        data: the whole file.
        entries: where the content of every entry begins, how many bytes it has, and its checksum.
    """

    data: memoryview
    entries: Mapping[str, tuple[int, int, int]]

    @classmethod
    def of(cls, data: bytes, source: str) -> "Archive":
        """Reads the directory; InputError for what torch does not write."""
        view = memoryview(data)
        entries: dict[str, tuple[int, int, int]] = {}
        at, end, count = _directory(view, source)
        for _ in range(count):
            name, found, at = _entry(view, at, end, source)
            if name in entries:
                raise InputError(f"{source} is damaged: it has two entries {reprlib.repr(name)}")
            entries[name] = found
        return cls(view, entries)

    def size(self, name: str) -> int | None:
        """Bytes of an entry, or None if there is no such entry."""
        return self.entries[name][1] if name in self.entries else None

    def read(self, name: str) -> memoryview:
        """The content of an entry, a view of the file; InputError if its checksum is wrong."""
        start, size, checksum = self.entries[name]
        found = self.data[start : start + size]
        if zlib.crc32(found) != checksum:
            raise InputError(f"the entry {reprlib.repr(name)} is damaged: its checksum is wrong")
        return found


def _directory(view: memoryview, source: str) -> tuple[int, int, int]:
    """Where the central directory begins and ends, and how many entries it has."""
    if bytes(view[:4]) != _LOCAL:
        raise InputError(
            f"{source} is no model that torch wrote: such a file is a zip archive since torch 1.6"
        )
    tail = view[-_END_SIZE:]
    if len(tail) < _END_SIZE or bytes(tail[:4]) != _END:
        raise InputError(f"{source} is cut off: the directory at the end of its archive is missing")
    disk, other, here, count, size, start, comment = struct.unpack("<4H2LH", tail[4:])
    last = len(view) - _END_SIZE
    if disk or other or here != count or comment or start + size > last or count > MOST_ENTRIES:
        raise InputError(
            f"the directory of {source} is damaged: {count} entries in {size} bytes at {start}, in "
            f"a file of {len(view)} bytes; at most {MOST_ENTRIES} entries are read"
        )
    return start, start + size, count


def _entry(
    view: memoryview, at: int, end: int, source: str
) -> tuple[str, tuple[int, int, int], int]:
    """Name and place of the entry that the directory describes at ``at``, and where the next is."""
    head = view[at : min(at + _CENTRAL_SIZE, end)]
    if len(head) < _CENTRAL_SIZE or bytes(head[:4]) != _CENTRAL:
        raise InputError(f"the directory of {source} is damaged at byte {at}")
    method, checksum, packed, size, length, extra, note = struct.unpack("<10xH4xLLLHHH", head[:34])
    (local,) = struct.unpack("<L", head[42:])
    following = at + _CENTRAL_SIZE + length + extra + note
    name = bytes(view[at + _CENTRAL_SIZE :][:length]).decode("utf-8", "replace")
    if following > end or length > LONGEST_NAME:
        raise InputError(f"the directory of {source} is damaged at byte {at}: {reprlib.repr(name)}")
    if method != _STORED or packed != size:
        raise InputError(
            f"the entry {reprlib.repr(name)} of {source} is compressed, {packed} bytes for {size}; "
            "torch stores them as they are, and nothing is unpacked here"
        )
    start = local + _LOCAL_SIZE
    if start > len(view) or bytes(view[local : local + 4]) != _LOCAL:
        raise InputError(f"the entry {reprlib.repr(name)} of {source} is not where it should be")
    # The name and what follows it are written a second time before the content.
    start += sum(struct.unpack("<HH", view[start - 4 : start]))
    if start + size > len(view):
        raise InputError(
            f"the entry {reprlib.repr(name)} of {source} has {size} bytes at {start}, in a file of "
            f"{len(view)} bytes"
        )
    return name, (start, size, checksum), following


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
