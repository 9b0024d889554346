"""Where the workspace is, and whether it is that of a server which many share.

Two environment variables say so, and everything else asks here.
"""

import os
from pathlib import Path

import platformdirs

from fisherdash.errors import InputError


def everybodys() -> Path:
    """Where the workspace that everybody sees is; it may not exist yet.

    InputError for a name that leads nowhere.
    """
    named = os.environ.get("FISHERDASH_WORKSPACE")
    folder = Path(named) if named else platformdirs.user_data_path("fisherdash")
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # an unknown user, a loop of links, …
        raise InputError(
            f"FISHERDASH_WORKSPACE is {named!r:.80}, which leads to no folder ({error!s:.80}); set "
            "it to a folder that can be written"
        ) from error


def is_shared() -> bool:
    """Whether this server separates its users; InputError unless the variable is 0 or 1."""
    value = os.environ.get("FISHERDASH_SHARED", "0").strip()
    if value not in ("0", "1", ""):
        raise InputError(f"FISHERDASH_SHARED must be 0 or 1, received {value!r}")
    return value == "1"


def file_named(name: str | Path) -> Path | None:
    """The file that somebody has named, ``~`` understood; None where there is none to be seen."""
    try:
        found = Path(name).expanduser()
        return found if found.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, forbidden, an unknown user, …
        return None
