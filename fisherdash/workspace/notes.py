"""A short note that a user keeps with a run, a training, a model or a data set.

It is one text file: ``note.txt`` in a folder, ``NAME.safetensors.note.txt`` beside a file. Nothing
else reads it, so that what has none, from earlier versions or other programs, has an empty note.
"""

from pathlib import Path

from fisherdash import storage
from fisherdash.errors import InputError

LONGEST = 300
"""Characters of a note."""


def file_of(path: Path) -> Path:
    """Where the note of a folder or a file is; it may not exist."""
    return path / "note.txt" if path.is_dir() else path.with_name(f"{path.name}.note.txt")


def note(path: Path) -> str:
    """The note of a folder or a file, one line; "" where there is none that can be read."""
    try:
        text = storage.content(file_of(path), 4 * LONGEST).decode("utf-8", "replace")
        return " ".join(text[:LONGEST].split())
    except (OSError, InputError):
        return ""


def keep(path: Path, text: str) -> None:
    """Keep a note, or none where the text is empty.

    InputError when it is longer than :data:`LONGEST` characters or the disk refuses.
    """
    line, place = " ".join(text.split()), file_of(path)
    if len(line) > LONGEST:
        raise InputError(f"a note has at most {LONGEST} characters, received {len(line)}")
    if not line:
        with storage.telling(place):
            place.unlink(missing_ok=True)
        return
    with storage.replacing(place) as part:
        part.write_text(line, encoding="utf-8")


def follow(old: Path, new: Path | None) -> None:
    """Move the note of a file along with it, or delete it where the file is gone."""
    place = old.with_name(f"{old.name}.note.txt")
    with storage.telling(place):
        if new is None:
            place.unlink(missing_ok=True)
        elif place.exists():
            place.replace(file_of(new))
