"""The shell: ``python -m fisherdash COMMAND``, the same abilities as the pages.

Only the chosen command's science is imported, and only once its arguments have been understood, so
help and mistakes answer at once.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from fisherdash import __version__
from fisherdash.cli.console import Help, Parser, execute

COMMANDS: Final = (
    "sample", "train", "evaluate", "solve", "simulate", "resume", "compare", "export",
    "landscape", "study", "convert", "bench", "index", "doctor", "app",
)  # fmt: skip
"""Every command is the module of that name in fisherdash/cli: HELP, add_arguments, run."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; a mistake in it ends the process with status 2 and one line."""
    parser = Parser(prog="fisherdash", description="Re-fit the last layer of a force field.")
    parser.add_argument("--version", action="version", version=f"fisherdash {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"fisherdash.cli.{name}")
        command = commands.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=Help
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
        if getattr(module, "REPORTS", True):
            command.add_argument(
                "--json", action="store_true", help="one JSON object on standard output"
            )
        command.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 unusable input, 1 a failure of ours."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    args = build_parser().parse_args(words)
    args.command_line = shlex.join(["python", "-m", "fisherdash", *words])
    return execute(args)


if __name__ == "__main__":
    sys.exit(main())
