"""Paths of the workspace: data sets, checkpoints, trainings, runs, studies, logs and caches.

The workspace is ``$FISHERDASH_WORKSPACE`` or the user's data folder of the operating system.
Names that people type (an upload, a title) are reduced to a safe stem. Several programs may work in
one workspace at the same time. Reading creates nothing, so a read-only workspace can be opened.

On a server that many share, each user (:mod:`fisherdash.workspace.users`) has a workspace within
it, ``users/…``; what somebody shares appears in the one that belongs to everybody.
"""

import atexit
import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.storage import everybodys
from fisherdash.workspace import users

_LONGEST = 48
_REFIT = re.compile(r"-fisher(-\d+)?$")


def refit_name(model: str) -> str:
    """The name of a re-fit of a model, or of one of its re-fits.

    >>> refit_name("ethanol-report"), refit_name("ethanol-report-fisher-2")
    ('ethanol-report-fisher', 'ethanol-report-fisher')
    """
    return f"{_REFIT.sub('', model)}-fisher"


def run_name(models: Sequence[str]) -> str:
    """The name of a run of these models; words that later names share with the first are left out.

    >>> run_name(["ethanol-report", "ethanol-report-fisher"])
    'ethanol-report-vs-fisher'
    """
    first, *others = (model.split("-") for model in models)
    names = ["-".join(first)]
    for other in others:
        pairs = zip(first, other, strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        names.append("-".join(other[shared:] or other))
    return "-vs-".join(names)[:_LONGEST].rstrip("-.")


Kind = Literal[
    "datasets", "checkpoints", "trainings", "runs", "studies", "waiting", "logs", "cache"
]

USERS = "users"
"""Folder of the workspaces of single users."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_STEM = 80

_claimed: set[Path] = set()
_lock = threading.Lock()


def root() -> Path:
    """Where the workspace of the present user is; it may not exist yet."""
    user = users.current()
    return everybodys() / USERS / user if user else everybodys()


def place(kind: Kind) -> Path:
    """Where one of the workspace's folders is; it may not exist yet."""
    return root() / kind


def folder(kind: Kind) -> Path:
    """One of the workspace's folders, made if need be; InputError if it cannot be."""
    return storage.made(place(kind))


def samples() -> Path:
    """The sample data and sample checkpoints that come with the source (may be absent)."""
    return Path(__file__).resolve().parents[2] / "sample_models"


def files(kind: Literal["datasets", "checkpoints"]) -> list[Path]:
    """Files of one kind: the samples, what others share, and the user's; each group by name.

    Those whose name is no text are left out.
    """
    suffix = {"datasets": ".npz", "checkpoints": ".safetensors"}[kind]
    # Names that begin with a dot are files that are being written.
    own = sorted(place(kind).glob(f"[!.]*{suffix}"))
    found = sorted(samples().glob(f"[!.]*{suffix}"))
    if users.current():
        others = sorted((everybodys() / kind).glob(f"[!.]*{suffix}"))
        mine = set(map(inode, own))
        found += [path for path in others if inode(path) not in mine]
    return [path for path in found + own if is_text(path.name)]


def is_text(name: str) -> bool:
    """Whether a name can be shown: on disk it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_mine(path: Path) -> bool:
    """Whether a file lies in the present user's own workspace: no sample, and nobody else's."""
    return root() in path.parents


def inode(path: Path) -> int:
    """The inode, the same for two names of one file; −1 for a file that is gone."""
    try:
        return path.stat().st_ino
    except OSError:  # also a link that leads to itself
        return -1


def safe_stem(name: str) -> str:
    """A user's name as a file stem: the last path part, plain characters, never empty or hidden.

    >>> safe_stem("../../etc/My water, 300 K.xyz")
    'My-water-300-K'
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0] if "." in last.strip(".") else last
    safe = _UNSAFE.sub("-", stem).strip("-.")[:_LONGEST_STEM]
    return safe or "unnamed"


def renamed(path: Path, name: str, suffix: str = "") -> Path:
    """The path beside ``path`` that a typed name means; InputError for one without a letter."""
    typed = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    if not re.search(r"[A-Za-z0-9]", typed):
        old = path.name.removesuffix(suffix)
        raise InputError(f"{old} needs a name with at least one letter or number")
    return path.with_name(safe_stem(typed.removesuffix(suffix) + ".x") + suffix)


def new_path(kind: Kind, name: str, suffix: str) -> Path:
    """A path in the workspace that nothing has yet: ``name``, ``name-2``, ``name-3``, …

    It is reserved for this process: two jobs that wait in a queue, here or in another program,
    never get the same one. InputError when the disk refuses.
    """
    home, stem = folder(kind), safe_stem(name + ".x")
    with _lock, storage.telling(home):
        for path in [path for path in _claimed if path.exists()]:
            _give_back(path)
        path, number = home / f"{stem}{suffix}", 1
        while path.exists() or not _claim(path):
            number += 1
            path = home / f"{stem}-{number}{suffix}"
    return path


def claim(path: Path) -> bool:
    """Reserve a path for this process until released; False where it is taken or reserved."""
    with _lock, storage.telling(path):
        return not path.exists() and _claim(path)


def release(path: Path) -> None:
    """Give up the reservation of a path, if there is one."""
    with _lock, contextlib.suppress(OSError):
        if path in _claimed:
            _give_back(path)


@contextlib.contextmanager
def taking(path: Path, called: str) -> Iterator[None]:
    """Reserve a path for what the block moves there.

    InputError when the name is taken, also by a job that waits, or the disk refuses.
    """
    if not claim(path):
        raise InputError(f"the name {called} is taken; choose another one")
    try:
        with storage.telling(path):
            yield
    finally:
        release(path)


def _claim(path: Path) -> bool:
    """Reserve a path; False where another process has done so."""
    try:
        _marker(path).open("x").close()
    except FileExistsError:
        if path in _claimed or time.time() - _marker(path).stat().st_mtime < storage.STALE_SECONDS:
            return False  # a program that was killed keeps its reservations for so long
        _marker(path).touch()
    _claimed.add(path)
    return True


def _give_back(path: Path) -> None:
    _marker(path).unlink(missing_ok=True)
    _claimed.discard(path)


def _marker(path: Path) -> Path:
    return path.with_name(f"{storage.PART}claim-{path.name}")


@atexit.register
def _give_back_all() -> None:
    for path in list(_claimed):
        with contextlib.suppress(OSError):
            _give_back(path)


def save_new(kind: Kind, name: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Let ``write(path)`` make a new file of the workspace, atomically; returns where it lies.

    InputError, one sentence, when the disk refuses.
    """
    while True:
        path = new_path(kind, name, suffix)
        try:
            with storage.replacing(path, new=True) as part:
                write(part)
            return path
        except FileExistsError:
            continue  # another program took the name in the meantime
