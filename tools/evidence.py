"""The evidence document of a study, from its stored tables: the same bytes every time.

python tools/evidence.py studies/ethanol_heads             writes docs/evidence.md and its pictures
python tools/evidence.py studies/ethanol_heads --summary   prints the paragraph for the README
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

MAIN = "evidence.md"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash.plots.evidence import document as document_of  # noqa: E402
from fisherdash.plots.evidence import summary  # noqa: E402
from fisherdash.plots.pictures import all_pictures  # noqa: E402
from fisherdash.study.primary import registered  # noqa: E402 - found through the line above
from fisherdash.study.statistics import Findings  # noqa: E402 - found through the line above
from fisherdash.study.tables import read_tables  # noqa: E402


def write(study: Path, document: Path, found: Findings, specification: str) -> None:
    """The document and, in a folder of its name beside it, the pictures."""
    pictures = document.with_suffix("")
    command = f"python tools/evidence.py studies/{study.name}"
    if document.name != MAIN:
        command += f" --out docs/{document.name}"
    drawn = all_pictures(found)
    text = document_of(found, specification, command, pictures.name, drawn)
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    for name, picture in drawn.items():
        (pictures / name).write_text(picture, encoding="utf-8", newline="\n")
    document.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the tables, write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="folder with study.toml and tables/")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / MAIN)
    parser.add_argument("--summary", action="store_true", help="print a paragraph, write nothing")
    options = parser.parse_args(arguments)
    study = options.study.resolve()
    specification = (study / "study.toml").read_text(encoding="utf-8")
    found = Findings(read_tables(study / "tables"), specification, asked=registered(study))
    if options.summary:
        print(summary(found))
    else:
        write(study, options.out, found, specification)
        print(f"{options.out} and {options.out.with_suffix('')}/*.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
