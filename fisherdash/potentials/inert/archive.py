"""The zip archive that torch writes: named pieces of the file, stored as they are.

Torch compresses nothing, so nothing is unpacked here: an entry is a view of the file's own bytes,
and an archive cannot take more memory than the file has. Offsets and sizes come from the central
directory (PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16) and are checked against
the file before anything is looked at.
"""

import dataclasses
import reprlib
import struct
import zlib
from collections.abc import Mapping

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
