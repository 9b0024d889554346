"""A long study in several sittings: its finished models into the source, and back into a folder.

    python tools/study_pieces.py pack DIR STUDY     finished models of DIR, tables and questions
    python tools/study_pieces.py unpack STUDY DIR   as if they had been done there

What is kept of a model are its small JSON files, without the network: enough for the tables and for
`fisherdash study` to see that nothing is left to do. They lie in STUDY/members.zip, the same bytes
for the same files.
"""

import dataclasses
import lzma
import shutil
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash.errors import InputError  # noqa: E402 - found through the line above
from fisherdash.study import plan, read_spec, spec, tables  # noqa: E402
from fisherdash.study.run import prepare_study  # noqa: E402

ARCHIVE = "members.zip"
_DAY = (2020, 1, 1, 0, 0, 0)  # of every file in the archive


def pack_tables(folder: Path) -> None:
    """Packs every table of a folder, a tenth of the size, the same bytes for the same tables."""
    for name in tables.COLUMNS:
        path = folder / f"{name}.csv"
        part = folder / f".{name}.csv{tables.PACKED}.part"
        part.write_bytes(lzma.compress(path.read_bytes(), preset=9))
        part.replace(folder / f"{name}.csv{tables.PACKED}")
        path.unlink()


def pack(folder: Path, study: Path) -> int:
    """Keep the finished models of a study's folder beside its specification; how many."""
    whole = plan.open_plan(folder)
    done = [one for one in whole.members if plan.is_done(folder, whole, one)]
    part = study / f".{ARCHIVE}.part"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_LZMA) as archive:
        for one in done:
            for path in sorted(plan.member_folder(folder, one.name).glob("*.json")):
                inside = zipfile.ZipInfo(f"{one.name}/{path.name}", _DAY)
                inside.compress_type = zipfile.ZIP_LZMA
                archive.writestr(inside, path.read_bytes())
    part.replace(study / ARCHIVE)
    if (folder / spec.QUESTIONS).exists():
        shutil.copyfile(folder / spec.QUESTIONS, study / spec.QUESTIONS)
    finished = dataclasses.replace(whole, members=tuple(done))
    tables.write_tables(tables.collect(folder, finished), study / "tables")
    pack_tables(study / "tables")
    return len(done)


def unpack(study: Path, folder: Path) -> int:
    """Begin or extend a study's folder with the models that were packed; how many."""
    text = (study / plan.SPEC_FILE).read_text(encoding="utf-8")
    if (study / spec.QUESTIONS).exists():  # before the question is asked again
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(study / spec.QUESTIONS, folder / spec.QUESTIONS)
    whole = prepare_study(read_spec(text, study), folder)
    known = {one.name for one in whole.members}
    if not (study / ARCHIVE).exists():
        return 0
    found = set()
    with zipfile.ZipFile(study / ARCHIVE) as archive:
        for inside in archive.namelist():
            name, _, file = inside.partition("/")
            place = plan.member_folder(folder, name) / file
            if name in known and "/" not in file and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(inside))
                found.add(name)
    return len(found)


def main() -> int:
    """One of the two, told in a line."""
    try:
        match sys.argv[1:]:
            case ["pack", folder, study]:
                print(f"{pack(Path(folder), Path(study))} finished models packed")
            case ["unpack", study, folder]:
                print(f"{unpack(Path(study), Path(folder))} models unpacked")
            case _:
                print(__doc__)
                return 2
    except (InputError, OSError) as error:
        print(f"study_pieces: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
