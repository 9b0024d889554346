"""A population of models: train, re-fit and simulate everything that a TOML file asks for.

What is finished is never done again, so the same command goes on after Ctrl-C, and does what is new
when the file asks for more. A study's folder keeps the file and copies of the data:
DIR/study.toml --out DIR goes on with it wherever the data were.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import whole
from fisherdash.errors import InputError

HELP = "train, re-fit and simulate a population of models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The specification, the folder, and who does the work."""
    parser.add_argument(
        "spec", metavar="SPEC.toml", help="what to train, re-fit and simulate (docs/study.md)"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the study: a new one, or one to go on with",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tcp://HOST:8786",
    )
    parser.add_argument(
        "--workers",
        type=whole(0),
        help="processes on this machine (default: one a core); 0 for this process alone",
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Run to the end or to Ctrl-C."""
    from fisherdash import study
    from fisherdash.study.plan import SPEC_FILE

    path = Path(args.spec)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"the specification {path} cannot be read: {why}") from error
    begun = path.resolve() == (Path(args.out) / SPEC_FILE).resolve()
    spec = study.read_begun(path.parent) if begun else study.read_spec(text, path.parent)
    last = None
    with console.stoppable() as cancel:
        for last in study.run_study(
            spec, Path(args.out), workers=args.workers, scheduler=args.scheduler, cancel=cancel
        ):
            console.progress(last.done + last.failed, last.models, last.stage)
    assert last is not None
    if last.done + last.failed < last.models:
        console.note("stopped; the same command goes on")
    return {"models": last.models, "done": last.done, "failed": last.failed}
