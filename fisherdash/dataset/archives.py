"""Packed files and archives: gz, bz2, xz, zip and tar, unpacked in memory and never on disk.

What comes out of a small file is bounded, whatever it claims to hold.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fisherdash.dataset.npz import MOST_FILES, check_directory
from fisherdash.dataset.raw import listed
from fisherdash.errors import InputError

LARGEST = 2**30
"""Bytes that a packed file may unpack to, whatever it is."""
HIGHEST_RATIO = 50
"""Times its own size that a packed file of more than little content may unpack to."""
ALWAYS_UNPACKED = 8 * 2**20
"""Bytes that a packed file may unpack to, however small it is: a text of tiny frames takes seconds
for each 20 MB."""
PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".lzma", ".tgz")
_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"]\0\0": lzma.open,
}  # fmt: skip
_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
           RuntimeError, ValueError, OverflowError, NotImplementedError, MemoryError, IndexError,
           KeyError, struct.error)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file out of an archive, and CP2K's file of forces beside it."""

    name: str
    data: bytes
    forces: bytes | None = None


def allowed_size(data: bytes, ratio: int = HIGHEST_RATIO, always: int = ALWAYS_UNPACKED) -> int:
    """Bytes that packed data may unpack to."""
    return min(LARGEST, max(always, ratio * len(data)))


def _refuse_size(name: str, allowed: int) -> InputError:
    return InputError(
        f"{name} would unpack to more than {allowed / 2**20:.0f} MiB, which a file of its size "
        "may take at most."
    )


def unpacked(data: bytes, name: str) -> tuple[bytes, str]:
    """The content of a gz, bz2 or xz file and its name without that ending; others as they are."""
    opener = next((one for magic, one in _PACKED.items() if data.startswith(magic)), None)
    if opener is None:
        return data, name
    allowed = allowed_size(data)
    try:
        with opener(io.BytesIO(data)) as stream:
            content = stream.read(allowed + 1)
    except _ERRORS:
        raise InputError(f"{name} is a damaged packed file, or cut short.") from None
    if len(content) > allowed:
        raise _refuse_size(name, allowed)
    if not content:
        raise InputError(f"{name} is empty.")
    path = Path(name)
    return content, path.stem if path.suffix.lower() in PACKED_ENDINGS else name


def members(data: bytes, name: str) -> dict[str, bytes] | None:
    """Files of a zip or tar by their paths; None for other content, and for npz, which is a zip."""
    if not (data.startswith(b"PK\3\4") or data[257:262] == b"ustar"):
        return None
    allowed = allowed_size(data)
    found: dict[str, bytes] = {}
    try:
        for path, size, read in _zipped(data, name) if data[:2] == b"PK" else _tarred(data):
            parts = PurePosixPath(path).parts
            if not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._"):
                continue
            allowed -= size
            if allowed < 0 or len(found) >= MOST_FILES:
                raise _refuse_size(name, allowed_size(data))
            found[path] = read()
    except InputError:
        raise
    except _ERRORS:
        raise InputError(f"{name} is a damaged archive, or cut short.") from None
    return found


def _zipped(data: bytes, name: str) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    check_directory(io.BytesIO(data), name, MOST_FILES)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for one in file.infolist():
            if not one.is_dir():
                yield one.filename, one.file_size, lambda one=one: file.read(one)


def _tarred(data: bytes) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as file:
        for one in file:
            stream = file.extractfile(one) if one.isreg() and not one.issparse() else None
            if stream is not None and one.size <= len(data):
                yield one.name, one.size, stream.read


def deepmd_files(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """Files of the one DeePMD folder in an archive, by their names below it."""
    roots = [PurePosixPath(key).parent for key in files if PurePosixPath(key).name == "type.raw"]
    if len(roots) != 1:
        raise InputError(
            f"{name} holds {len(roots)} DeePMD folders (type.raw and set.*); one is needed."
        )
    return {
        PurePosixPath(key).relative_to(roots[0]).as_posix(): value
        for key, value in files.items()
        if PurePosixPath(key).is_relative_to(roots[0])
    }


def fitting(files: Mapping[str, bytes], readable: Callable[[str, bytes], bool]) -> list[str]:
    """Paths of the files of data in an archive."""
    return [key for key, data in files.items() if readable(PurePosixPath(key).name, data)]


def chosen(
    files: Mapping[str, bytes],
    name: str,
    wished: str | None,
    readable: Callable[[str, bytes], bool],
) -> Member:
    """The one file of data in an archive, or the one that ``wished`` names; else InputError."""
    fits = fitting(files, readable)
    if wished is not None:
        fits = [key for key in fits if wished in (key, PurePosixPath(key).name)]
    places = [key for key in fits if key.replace("-pos-", "-frc-") in fits and "-pos-" in key]
    if len(places) == 1 and len(fits) == 2:
        forces = files[places[0].replace("-pos-", "-frc-")]
        return Member(PurePosixPath(places[0]).name, files[places[0]], forces)
    if len(fits) == 1:
        return Member(PurePosixPath(fits[0]).name, files[fits[0]])
    if not fits:
        what = "no file that is read" if wished is None else f"no file {wished[:60]!r} that is read"
        raise InputError(f"{name} holds {what}; it has {listed(files)}.")
    raise InputError(
        f"{name} holds {len(fits)} files of data; choose one with --molecule: {listed(fits)}."
    )
