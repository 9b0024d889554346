"""Say whether this machine and the workspace are in order, and what to do where they are not."""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console

HELP = "check this machine and the workspace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is looked at."""


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Every finding; what is amiss is told and does not change the exit status."""
    from fisherdash.doctor import examine

    checks = examine()
    if args.json:
        return {
            "ok": all(check.ok for check in checks),
            "checks": [check.to_json() for check in checks],
        }
    return {
        check.name: f"ok    {check.found}" if check.ok else f"LOOK  {check.found}; {check.advice}"
        for check in checks
    }
