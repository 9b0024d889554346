"""Checks of the machine and the workspace, with advice where something is wrong.

Each check looks at one thing, changes nothing that stays, and never raises: what it met instead is
what it reports.
"""

import dataclasses
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fisherdash import __version__, storage
from fisherdash.background import MAX_BYTES
from fisherdash.devices import cores
from fisherdash.errors import InputError
from fisherdash.potentials.worker import trusted
from fisherdash.workspace import estimates, limits, listing, locks, paths, users

PACKAGES = (
    "jax", "jaxlib", "flax", "e3x", "optax", "numpy", "scipy", "ase", "safetensors", "tblite",
    "streamlit",
)  # fmt: skip

LEAST_FREE = 2e9
"""Bytes that a disk should have left: a long run of a large batch takes about a gigabyte."""

GB = 1e9


@dataclasses.dataclass(frozen=True)
class Check:
    """One finding; ``advice`` is what to do about it, "" when it is in order."""

    name: str
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.advice

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {"name": self.name, "ok": self.ok, "found": self.found, "advice": self.advice}


def examine() -> list[Check]:
    """Every check, in the order in which a person would look."""
    return [_carefully(check) for check in _CHECKS]


def _carefully(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding, not an end
        name = check.__name__.removeprefix("_").replace("_", " ")
        return Check(
            name, f"{type(error).__name__}: {error}", "report this: the check itself failed"
        )


def _versions() -> Check:
    found, missing = [f"fisherdash {__version__}", f"python {platform.python_version()}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    advice = f"call 'make setup': {', '.join(missing)} not installed" if missing else ""
    return Check("versions", ", ".join(found), advice)


def _devices() -> Check:
    import jax

    devices = jax.devices()
    kinds = sorted({f"{device.device_kind} ({device.platform})" for device in devices})
    found = f"{len(devices)}: {', '.join(kinds)}"
    only_cpu = all(device.platform == "cpu" for device in devices)
    if only_cpu and shutil.which("nvidia-smi"):
        return Check("devices", found, "there is an NVIDIA driver; 'make setup GPU=1' uses it")
    return Check("devices", found)


def _processor() -> Check:
    return Check("processor", f"{cores()} cores, {platform.machine()}, {platform.system()}")


def _workspace() -> Check:
    place = paths.root()
    try:
        with tempfile.TemporaryDirectory(dir=storage.made(paths.root()), prefix=".part-") as probe:
            locks.FolderLock(Path(probe)).release()
    except (InputError, OSError) as error:
        advice = "allow writing there, or set FISHERDASH_WORKSPACE to a folder that can be written"
        return Check("workspace", f"{place} cannot be written ({error})", advice)
    return Check("workspace", f"{place}, can be written")


def _disk() -> Check:
    above = _existing(paths.root())
    usage = shutil.disk_usage(above)
    found = f"{usage.free / GB:.1f} of {usage.total / GB:.1f} GB free"
    low = usage.free < LEAST_FREE
    return Check("disk", found, "delete runs or data that are not needed" if low else "")


def _contents() -> Check:
    counts, damaged = [], 0
    for kind in listing.LISTED:
        entries = listing.entries(kind)
        damaged += sum(entry.problem is not None for entry in entries)
        counts.append(f"{len(entries)} {'models' if kind == 'checkpoints' else kind}")
    advice = f"{damaged} cannot be opened; 'fisherdash index' says why" if damaged else ""
    return Check("contents", ", ".join(counts), advice)


def _index() -> Check:
    return Check("index", "none: lists are made from the folders")


def _unfinished_work() -> Check:
    left = listing.interrupted("runs", "trainings")
    if not left:
        return Check("unfinished work", "none")
    folders = ", ".join(str(entry.folder) for entry in left[:3])
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    advice = f"'fisherdash resume FOLDER' or the Home page resumes {folders}{more}"
    return Check("unfinished work", str(len(left)), advice)


def _compiled_programs() -> Check:
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    place = Path(named) if named else paths.everybodys() / "cache" / "jax"
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    most = "" if named else f" of at most {MAX_BYTES / GB:g}"
    found = f"{size / GB:.2f}{most} GB in {place}"
    above = _existing(place)
    if not os.access(above, os.W_OK):
        return Check("compiled programs", found, f"allow writing in {above}: starts will be slow")
    return Check("compiled programs", found)


def _molecules_in_3d() -> Check:
    root = Path(__file__).resolve().parent.parent
    if not (root / "app.py").is_file():
        return Check("molecules in 3D", "no dashboard beside this library, none needed")
    if (root / "static" / "vendor" / "3Dmol-min.js").is_file():
        return Check("molecules in 3D", "3Dmol.js in place, no network needed")
    return Check(
        "molecules in 3D",
        "3Dmol.js is not in place; browsers fetch it from the network",
        "call 'python tools/get_3dmol.py' to have it here",
    )


def _other_libraries() -> Check:
    """Files that may be opened here, and the Pythons that open them."""
    found = trusted.everything()
    gone = [one for one in found if not os.access(one.python, os.X_OK)]
    words = [f"{one.name} ({one.family}, {one.python})" for one in found]
    advice = f"import {gone[0].name} again: {gone[0].python} is gone" if gone else ""
    return Check("models of other libraries", "; ".join(words) or "none", advice)


def _guards() -> Check:
    """What a server started with these variables would allow; docs/deploy.md says the rest."""
    try:
        limits.check_variables()
    except InputError as error:
        return Check("guards of the server", str(error), "the server does not start like this")
    shared = limits.is_shared()
    anybody = users.named("anybody") if shared else users.EVERYBODY
    known = {limit.variable: limits.value(limit, anybody) for limit in limits.ALL}
    words = [f"{name}={most:g}" for name, most in known.items() if most < float("inf")]
    hosts = os.environ.get("FISHERDASH_HOSTS", "").strip()
    found = [
        "many users" if shared else "one user, who is asked before large jobs",
        f"limits {', '.join(words) or 'none'}",
        f"answers to loopback names{f' and {hosts}' if hosts else ''}",
    ]
    if not shared:
        return Check("guards of the server", "; ".join(found))
    count = len(limits.administrators())
    advice = (
        f"name in {limits.ADMINS} who may cancel what others left behind; " if not count else ""
    )
    found.append(f"administrators {count}")
    return Check("guards of the server", "; ".join(found), advice.removesuffix("; "))


def _log() -> Check:
    files = sorted(estimates.log_path().parent.glob(f"{estimates.LOG}*"))
    size = sum(file.stat().st_size for file in files)
    return Check("log of jobs", f"{estimates.log_path()}, {size / 1e6:.2f} MB")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


_CHECKS: tuple[Callable[[], Check], ...] = (
    _versions,
    _devices,
    _processor,
    _workspace,
    _disk,
    _contents,
    _index,
    _unfinished_work,
    _compiled_programs,
    _molecules_in_3d,
    _other_libraries,
    _guards,
    _log,
)
