"""Open the dashboard in the browser, served on this machine only."""

import argparse
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fisherdash
from fisherdash.cli.console import Console
from fisherdash.cli.options import whole
from fisherdash.errors import InputError

HELP = "open the dashboard"
REPORTS = False
"""It runs until it is stopped and has no result to print."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens."""
    parser.add_argument(
        "--port", type=whole(1, 65535), default=8501, help="port of the page on this machine"
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Become Streamlit, in the project's folder so that it finds its configuration."""
    script = Path(fisherdash.__file__).resolve().parent.parent / "app.py"
    if not script.is_file():
        raise InputError(
            f"the dashboard's pages are not part of the installed library ({script} is missing); "
            "start it from a checkout of the project, with 'make app'."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", args.port))
        except OSError as error:
            raise InputError(
                f"--port {args.port} cannot be used ({error.strerror}); give another one, for "
                f"example --port {args.port % 65535 + 1}."
            ) from error
    os.chdir(script.parent)
    command = ["-m", "pages.ui.serve", "--server.port", str(args.port)]
    os.execv(sys.executable, [sys.executable, *command])
