"""The shell command that does what a page did, to be pasted into a terminal."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fisherdash.workspace.runs import Run


def shell_command(name: str, *arguments: object, **options: object) -> str:
    """One line for a POSIX shell.

    Args:
      name: of the command ("simulate").
      arguments: positional ones; a Path below the working folder is written relative to it.
      options: ``timestep_fs=0.5`` becomes ``--timestep-fs 0.5``; True a bare flag; None and
        False are left out.

    >>> shell_command("compare", Path("my runs/one"), json=True)
    "python -m fisherdash compare 'my runs/one' --json"
    """
    words = ["python", "-m", "fisherdash", name, *(_word(argument) for argument in arguments)]
    for key, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + key.replace("_", "-"))
        if value is not True:
            words.append(_word(value))
    return shlex.join(words)


def commands_of(run: "Run") -> tuple[str, str]:
    """What repeats a run and its statistics."""
    return run.header.command, shell_command("compare", run.folder)


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, Path) and value.is_absolute() and value.is_relative_to(Path.cwd()):
        return str(value.relative_to(Path.cwd()))
    return str(value)
