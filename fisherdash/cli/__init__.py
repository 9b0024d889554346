"""The shell's commands by subject: ``models``, ``dynamics``, ``system``.

A command is a pair ``add_NAME(parser)`` and ``NAME(args, console)``; ``fisherdash.__main__`` holds
the table. What they share is in ``console`` (running and printing) and ``options`` (arguments and
their limits).

These are also the first lines of the program: a signal that comes while it is still loading is
answered by a sentence, and no file of the user's takes the number of a standard stream that was
closed.
"""

import os
import signal
import sys
import threading
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STATUS = 1


def watch_signals() -> None:
    """Until the command begins, a signal ends the program with one sentence and status 1."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, stop)


def open_streams() -> None:
    """Standard streams that the caller has closed lead nowhere: else the next file that is opened,
    perhaps a model, would get their number and what libraries print.

    Whatever is written to standard output then fails, so that no result is lost without a word.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open to the end
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open to the end


def stop(number: int, frame: Any) -> None:
    """End at once."""
    os.write(2, b"fisherdash: interrupted before it began\n")
    os._exit(_STATUS)
