"""Which files may be opened, and by which Python: the user's own word, kept in the workspace.

    WORKSPACE/trusted/SHA256/model          a copy of the file, made when it was trusted
    WORKSPACE/trusted/SHA256/trusted.json   its family, its name, and the Python that opens it

A checkpoint names such a file by its SHA-256 and says nothing else about it: whoever made the
checkpoint can point at what the user of this machine has trusted, and at nothing more. On a server
that many share there is none of this.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from fisherdash import storage
from fisherdash.errors import InputError

FOLDER, FILE, WORD = "trusted", "model", "trusted.json"
MOST_BYTES = 2_000_000_000
_LONGEST = 20_000


@dataclasses.dataclass(frozen=True)
class Trusted:
    """A file that may be opened.

    Attributes:
        sha256: of the file, in hexadecimal digits.
        family: of its model.
        python: the program that opens it.
        name: of the file as it was trusted.
    """

    sha256: str
    family: str
    python: str
    name: str

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return _home(self.sha256) / FILE


def check_allowed() -> None:
    """InputError on a server that many share."""
    if storage.is_shared():
        raise InputError(
            "models that a program of another library has to open are for one's own machine; this "
            "server is shared by many, and opens none"
        )


def trust(path: Path, family: str, python: str) -> Trusted:
    """Keep a copy of a file, and that ``python`` may open it: the user has said so.

    Raises:
        InputError: on a shared server, for a file that cannot be read, a Python that is not there,
            or a disk that refuses.
    """
    check_allowed()
    named = storage.file_named(python)
    if named is None or not os.access(named, os.X_OK):
        raise InputError(
            f"--python {python!r:.200} is no program; give the Python that has the library of the "
            "model, such as ~/mace/bin/python"
        )
    program = Path(os.path.abspath(named))  # noqa: PTH100 - links stay links
    if storage.file_named(path) is None:
        raise InputError(f"{str(path)!r:.200} is no file; give the file of the model itself")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path.name} has more than {MOST_BYTES} bytes; no model has")
    try:
        data = storage.content(path, MOST_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r:.200}: {error.strerror}") from error
    found = Trusted(hashlib.sha256(data).hexdigest(), family, str(program), path.name[:200])
    home = _home(found.sha256)
    with storage.telling(home):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with storage.replacing(home / FILE) as part:
        part.write_bytes(data)
    with storage.replacing(home / WORD) as part:
        fields = dataclasses.asdict(found)
        fields.pop("sha256")
        part.write_text(json.dumps(fields), encoding="utf-8")
    return found


@contextlib.contextmanager
def trusting(path: Path, family: str, python: str, *, keep: bool) -> Iterator[Trusted]:
    """Trust a file within the block, see :func:`trust`.

    Afterwards it is forgotten, unless it was trusted before or, with ``keep``, the block succeeded.
    """
    earlier = {one.sha256 for one in everything()}
    found = trust(path, family, python)
    kept = found.sha256 in earlier
    try:
        yield found
        kept = kept or keep
    finally:
        if not kept:
            forget(found)


def forget(found: Trusted) -> None:
    """Take the word back: the file is deleted."""
    storage.remove_folder(_home(found.sha256))


def find(sha256: str, family: str) -> Trusted:
    """The file of that hash; InputError, with what to do, where nobody here has trusted one."""
    check_allowed()
    found = _read(_home(sha256))
    if found is None or found.family != family:
        raise InputError(
            f"this checkpoint is the head of a {family} model whose own file (SHA-256 "
            f"{sha256[:12]}…) was not imported on this machine; get that file and call 'fisherdash "
            f"import FILE --family {family} --python THEIRS/bin/python --trust-this-file'"
        )
    return found


def everything() -> list[Trusted]:
    """All files that were trusted here, by their names."""
    folders = (storage.everybodys() / FOLDER).glob("*")
    found = [_read(folder) for folder in folders if re.fullmatch("[0-9a-f]{64}", folder.name)]
    return sorted((one for one in found if one is not None), key=lambda one: one.name)


def _home(sha256: str) -> Path:
    return storage.everybodys() / FOLDER / sha256


def _read(home: Path) -> Trusted | None:
    """None where it is missing or damaged: trusting it again writes it anew."""
    try:
        fields = json.loads(storage.content(home / WORD, _LONGEST))
        found = Trusted(sha256=home.name, **fields)
    except (OSError, ValueError, TypeError):
        return None
    if not all(isinstance(value, str) for value in dataclasses.astuple(found)):
        return None
    return found if found.path.is_file() else None
