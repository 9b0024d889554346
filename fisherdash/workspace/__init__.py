"""What is kept on disk, and the background jobs that write it.

``paths`` says where things lie; ``runs`` and ``trainings`` write and read one folder for each;
``listing`` lists them; ``jobs`` keeps the list of background work. This package knows only "an
iterator that yields progress": it imports neither the simulator nor the interface.

To simulate and keep everything: ``for chunk in record(simulate(…), folder, describe_run(…))``.
"""

from fisherdash.workspace.headers import RunHeader, TrainingHeader, describe_run
from fisherdash.workspace.listing import Entry, delete, entries
from fisherdash.workspace.runs import (
    Run,
    RunWriter,
    Unfinished,
    go_on,
    open_run,
    record,
    unfinished,
)
from fisherdash.workspace.trainings import begin_training, unfinished_training

__all__ = [
    "Entry",
    "Run",
    "RunHeader",
    "RunWriter",
    "TrainingHeader",
    "Unfinished",
    "begin_training",
    "delete",
    "describe_run",
    "entries",
    "go_on",
    "open_run",
    "record",
    "unfinished",
    "unfinished_training",
]
