"""The shell's commands by subject: ``models``, ``dynamics``, ``system``.

A command is a pair ``add_NAME(parser)`` and ``NAME(args, console)``; ``fisherdash.__main__`` holds
the table. What they share is in ``console`` (running and printing) and ``options`` (arguments and
their limits).

These are also the first lines of the program: a signal that comes while it is still loading is
answered by a sentence.
"""

import os
import signal
import threading
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STATUS = 1


def watch_signals() -> None:
    """Until the command begins, a signal ends the program with one sentence and status 1."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, stop)


def stop(number: int, frame: Any) -> None:
    """End at once."""
    os.write(2, b"fisherdash: interrupted before it began\n")
    os._exit(_STATUS)
