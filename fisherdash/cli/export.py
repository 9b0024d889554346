"""Take something away from a run: a trajectory, its figure, its numbers, or all in one report.

The ending of FILE says what: .xyz is one trajectory (extended XYZ with times, energies and
velocities), .html a report that stands alone, .svg the curves, .csv the numbers of the comparison.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash import storage
from fisherdash.cli.console import Console
from fisherdash.cli.options import add_run_folder, output_file, run_folder, whole
from fisherdash.errors import InputError

if TYPE_CHECKING:
    from fisherdash.workspace import Run


HELP = "take a trajectory, a figure, a table or a report away from a run"
ENDINGS = (".xyz", ".html", ".svg", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the file, and which trajectory."""
    add_run_folder(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help=f"one of {' '.join(ENDINGS)}")
    parser.add_argument(
        "--head", metavar="NAME", help="whose trajectory goes into an .xyz (default: the first)"
    )
    parser.add_argument(
        "--replica", type=whole(1), metavar="N", help="which of its replicas, from 1 (default: 1)"
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Write the file; what is in it is what the dashboard's buttons give."""
    folder, out = run_folder(args), output_file(args.out)
    if out.suffix not in ENDINGS:
        raise InputError(f"--out {args.out!r} must end in one of {', '.join(ENDINGS)}.")
    if out.suffix != ".xyz" and (args.head or args.replica):
        raise InputError("--head and --replica choose a trajectory: give --out a name with .xyz")
    from fisherdash import workspace

    found = workspace.open_run(folder)
    if not len(found.times):
        raise InputError(f"the run {folder.name!r} has no frames yet")
    parts = _trajectory(found, args) if out.suffix == ".xyz" else _whole(found, out.suffix)
    with storage.replacing(out) as part, Path(part).open("wb") as file:
        size = sum(file.write(block) for block in parts)
    return {"run": found.id, "out": str(out), "frames": len(found.times), "bytes": size}


def _trajectory(found: "Run", args: argparse.Namespace) -> Iterator[bytes]:
    from fisherdash.workspace.runs import extended_xyz

    names = found.header.names
    if args.head is not None and args.head not in names:
        raise InputError(f"the run has no head {args.head!r}; it has {', '.join(names)}")
    head = 0 if args.head is None else names.index(args.head)
    return extended_xyz(found, head, (args.replica or 1) - 1)


def _whole(found: "Run", ending: str) -> Iterator[bytes]:
    traj = found.trajectories()
    if ending == ".html":
        from fisherdash.plots.report import html_report
        from fisherdash.workspace.commands import commands_of

        yield html_report(found.header, traj, commands_of(found)).encode()
    elif ending == ".svg":
        from fisherdash.plots.report import run_picture

        yield run_picture(traj, found.header.roles).encode()
    else:
        from fisherdash.analysis import compare
        from fisherdash.plots.report import comparison_numbers

        yield comparison_numbers(compare(traj)).to_csv(index=False).encode()
