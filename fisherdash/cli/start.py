"""The first lines of the program: a signal that comes while it is still loading gets a sentence."""

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
