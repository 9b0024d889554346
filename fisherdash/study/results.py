"""Studies at hand: the one that comes with the source, and those of the user's workspace."""

import dataclasses
import io
import tempfile
import zipfile
from pathlib import Path

from fisherdash.errors import InputError
from fisherdash.study import spec
from fisherdash.study.plan import DATA, SPEC_FILE, open_plan
from fisherdash.study.tables import (
    COLUMNS,
    Tables,
    collect,
    read_tables,
    table_file,
    write_tables,
)
from fisherdash.workspace import paths


@dataclasses.dataclass(frozen=True)
class Kept:
    """A study on disk: its specification, and the tables or the members they are made from."""

    name: str
    folder: Path

    @property
    def members(self) -> Path:
        """Where the work lies; absent in a study that was passed on as tables."""
        return self.folder / "members"

    @property
    def can_go_on(self) -> bool:
        """Whether its own copies of the data are there, begun or not."""
        return (self.folder / DATA).is_dir()

    @property
    def specification(self) -> str:
        """The TOML text, empty where there is none; InputError where it cannot be read."""
        path = self.folder / SPEC_FILE
        return spec.written(path) if path.exists() else ""

    @property
    def title(self) -> str:
        """What the specification calls it."""
        try:
            return str(spec.parsed(self.specification).get("title", self.name))
        except InputError:
            return self.name

    @property
    def state(self) -> tuple[int, int, int]:
        """Changes with every finished stage, every word of the question, and when another study
        takes the folder.

        How many files there are, the newest time that one was written, and that it was put there.
        """
        files = self.members.glob("*/[!.]*.json") if self.members.is_dir() else self._tables()
        told = (self.folder / SPEC_FILE, self.folder / spec.QUESTIONS)
        facts = [path.stat() for path in (*files, *told) if path.exists()]
        newest = max((one.st_mtime_ns for one in facts), default=0)
        return len(facts), newest, max((one.st_ctime_ns for one in facts), default=0)

    def tables(self) -> Tables:
        """What is finished so far.

        Raises:
            InputError: if a table or a member's file is damaged.
        """
        if (self.members.is_dir() or self.can_go_on) and not self._written_since():
            return collect(self.folder, open_plan(self.folder))
        return read_tables(self.folder / "tables")

    def _written_since(self) -> bool:
        """Whether the tables are younger than every finished stage: they are read much faster."""
        if not all(path.exists() for path in self._tables()):
            return False
        oldest = min(path.stat().st_mtime_ns for path in self._tables())
        return oldest >= self.state[1]

    def _tables(self) -> list[Path]:
        return [table_file(self.folder / "tables", name) for name in COLUMNS]


def problem(folder: Path) -> str:
    """Why the study in a folder cannot be read, one sentence; "" where it can."""
    try:
        if (folder / SPEC_FILE).exists():
            spec.read_spec(spec.written(folder / SPEC_FILE), folder)
        spec.registered(folder)
    except InputError as error:
        return str(error)
    return ""


def shipped() -> Path:
    """The studies that come with the source (may be absent)."""
    return Path(__file__).resolve().parents[2] / "studies"


def kept() -> list[Kept]:
    """The shipped studies, then those of the workspace, those that have not begun too.

    Each by name, those with a primary question first.
    """
    found = []
    for home, mark in ((shipped(), " (sample)"), (paths.place("studies"), "")):
        folders = home.iterdir() if home.is_dir() else []
        for folder in sorted(folders, key=lambda one: (not (one / spec.QUESTIONS).exists(), one)):
            if not paths.is_text(folder.name):
                continue
            study = Kept(folder.name + mark, folder)
            begun = study.members.is_dir() or (folder / "tables").is_dir()
            if begun or study.can_go_on:
                found.append(study)
    return found


def named(name: str) -> Kept:
    """The study of that name; InputError if there is none."""
    for study in kept():
        if study.name == name:
            return study
    raise InputError(f"there is no study {name!r}")


def as_zip(study: Kept, tables: Tables) -> bytes:
    """Specification and tables in one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SPEC_FILE, study.specification)
        if (study.folder / spec.QUESTIONS).exists():
            archive.write(study.folder / spec.QUESTIONS, spec.QUESTIONS)
        with tempfile.TemporaryDirectory() as folder:
            write_tables(tables, Path(folder))
            for name in COLUMNS:
                archive.write(Path(folder) / f"{name}.csv", f"tables/{name}.csv")
    return stream.getvalue()


EXAMPLE = """\
title = "{title}"

[[data]]
name = "{name}"
file = "{file}"
valid = {valid}   # frames that choose the weights to keep
test = {test}     # frames no model sees: test errors and initial states

[[models]]        # every combination of the lists is a model
frames = {frames}
seed = [0, 1, 2, 3]
epochs = 60
features = 16
max_degree = 1
iterations = 2
basis = 16

[heads.plain]     # re-fits of the last layer, beside the trained one
ridge = 0

[heads.held-out]
ridge = "auto"

[dynamics]
temperature = {temperature}
timestep = 1.0
replicas = 12
picoseconds = 2.0

[primary]         # the one question, written down before there is an answer
head = "plain"    # do more trajectories survive with this head than with the trained one?
"""


def example(file: Path, frames: int, temperature: float | None) -> str:
    """A small specification for a data set of so many frames, to begin with."""
    test, valid = max(2, frames // 6), max(1, frames // 20)
    left = frames - test - valid
    return EXAMPLE.format(
        title=f"{file.stem}, a first study",
        name=file.stem,
        file=file.name,
        valid=valid,
        test=test,
        frames=sorted({max(1, left // 8), max(1, left // 2)}),
        temperature=[float(f"{temperature or 300.0:.3g}")],
    )
