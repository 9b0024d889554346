"""The evidence document of studies, from their stored tables: the same bytes every time.

python tools/evidence.py STUDY [OTHER ...]                   docs/evidence.md and its pictures
python tools/evidence.py STUDY [OTHER ...] --out FILE        another document
python tools/evidence.py STUDY --summary                     the paragraph for the README

The first study is told in full, the others, which ask the same question, by their answers.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

MAIN = "evidence.md"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash.plots.chart import one_browser  # noqa: E402
from fisherdash.plots.evidence import document as document_of  # noqa: E402
from fisherdash.plots.evidence import summary  # noqa: E402
from fisherdash.plots.study import all_pictures, pairs_picture  # noqa: E402
from fisherdash.study.primary import registered  # noqa: E402 - found through the line above
from fisherdash.study.statistics import Findings  # noqa: E402 - found through the line above
from fisherdash.study.tables import read_tables  # noqa: E402


def findings_of(study: Path) -> tuple[Findings, str]:
    """The statistics of a study's stored tables, and its specification."""
    specification = (study / "study.toml").read_text(encoding="utf-8")
    tables = read_tables(study / "tables")
    return Findings(tables, specification, asked=registered(study)), specification


def write(studies: Sequence[Path], document: Path) -> None:
    """The document and, in a folder of its name beside it, the pictures."""
    pictures = document.with_suffix("")
    command = shlex.join(["python", "tools/evidence.py", *(f"studies/{s.name}" for s in studies)])
    if document.name != MAIN:
        command += f" --out docs/{document.name}"
    (found, specification), *others = map(findings_of, studies)
    elsewhere = dict(zip((study.name for study in studies[1:]), others, strict=True))
    with one_browser():
        drawn = all_pictures(found)
        drawn |= {f"{name}.svg": pairs_picture(one) for name, (one, _) in elsewhere.items()}
    text = document_of(found, specification, command, pictures.name, drawn, elsewhere)
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    for name, picture in drawn.items():
        (pictures / name).write_text(picture, encoding="utf-8", newline="\n")
    document.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the tables, write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "studies", nargs="+", type=Path, help="folders with study.toml and tables/, the main first"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / MAIN)
    parser.add_argument("--summary", action="store_true", help="print a paragraph, write nothing")
    options = parser.parse_args(arguments)
    studies = [study.resolve() for study in options.studies]
    if options.summary:
        print(summary(findings_of(studies[0])[0]))
    else:
        write(studies, options.out)
        print(f"{options.out} and {options.out.with_suffix('')}/*.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
