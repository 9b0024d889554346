"""The shell: ``python -m fisherdash COMMAND``, the same abilities as the pages.

Only the chosen command's science is imported, and only once its arguments have been understood, so
help and mistakes answer at once.
"""

import sys

from fisherdash.cli import open_streams, watch_signals

if __name__ == "__main__" or sys.argv[0].endswith("/fisherdash"):  # the program, no import of it
    watch_signals()
    open_streams()

import argparse
import inspect
import shlex
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from fisherdash import __version__
from fisherdash.cli import dynamics, models, system
from fisherdash.cli.console import Help, Parser, Run, execute


class Command(NamedTuple):
    """One command; the docstring of ``run`` describes it.

    ``run`` returns the mapping that ``--json`` prints, whose keys are promised to scripts; one that
    runs until it is stopped ``reports`` nothing.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Run
    reports: bool = True


COMMANDS: Final = {
    "sample": Command("make a data set of any small molecule", models.add_sample, models.sample),
    "inspect": Command(
        "what a data file contains, its units, and warnings about it",
        models.add_inspect,
        models.inspect,
    ),
    "train": Command("train a network on a data set", models.add_train, models.train),
    "evaluate": Command(
        "errors of a checkpoint on a data set", models.add_evaluate, models.evaluate
    ),
    "solve": Command("re-fit the last layer", models.add_solve, models.solve),
    "curve": Command(
        "the error of a re-fit against the number of frames", models.add_curve, models.curve
    ),
    "label": Command("write frames that a reference is to label", models.add_label, models.label),
    "simulate": Command(
        "molecular dynamics of one or more checkpoints", dynamics.add_simulate, dynamics.simulate
    ),
    "resume": Command(
        "go on with a run or a training that was stopped", dynamics.add_resume, dynamics.resume
    ),
    "compare": Command("statistics of a run", dynamics.add_compare, dynamics.compare),
    "export": Command(
        "take a trajectory, a figure, a table or a report away from a run",
        dynamics.add_export,
        dynamics.export,
    ),
    "landscape": Command(
        "how sharp the loss is around checkpoints", models.add_landscape, models.landscape
    ),
    "study": Command(
        "train, re-fit and simulate a population of models", dynamics.add_study, dynamics.study
    ),
    "convert": Command(
        "make a checkpoint of an E3x tutorial's parameters", models.add_convert, models.convert
    ),
    "import": Command(
        "make a checkpoint of another program's model", models.add_import, models.import_model
    ),
    "bench": Command(
        "how fast this machine is, beside the usual ways to do the same",
        system.add_bench,
        system.bench,
    ),
    "index": Command(
        "count what the workspace holds, or rebuild the list of it", system.add_index, system.index
    ),
    "doctor": Command("check this machine and the workspace", system.add_doctor, system.doctor),
    "app": Command("open the dashboard", system.add_app, system.app, reports=False),
}


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; a mistake in it ends the process with status 2 and one line."""
    parser = Parser(prog="fisherdash", description="Re-fit the last layer of a force field.")
    parser.add_argument("--version", action="version", version=f"fisherdash {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.help, description=inspect.getdoc(command.run), formatter_class=Help
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run)
        if command.reports:
            added.add_argument(
                "--json", action="store_true", help="one JSON object on standard output"
            )
        added.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 unusable input, 1 a failure of ours."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    args = build_parser().parse_args(words)
    args.command_line = shlex.join(["python", "-m", "fisherdash", *words])
    return execute(args)


if __name__ == "__main__":
    sys.exit(main())
