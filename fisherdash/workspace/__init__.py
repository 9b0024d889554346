"""What is kept on disk, and the background jobs that write it.

``workspace`` says where things lie; ``store`` writes and reads one folder a run, ``trainings`` one
a training; ``index`` lists them; ``jobs`` keeps the list of background work. This room knows only
"an iterator that yields progress": it imports neither the simulator nor the interface.

To simulate and keep everything: ``for chunk in record(simulate(…), folder, describe_run(…))``.
"""

from fisherdash.workspace.headers import TrainingHeader, describe_run
from fisherdash.workspace.interrupted import Unfinished, go_on, unfinished
from fisherdash.workspace.runs import (
    Run,
    RunHeader,
    RunWriter,
    delete_run,
    list_runs,
    open_run,
    record,
)
from fisherdash.workspace.trainings import begin_training, delete_training, unfinished_training

__all__ = [
    "Run",
    "RunHeader",
    "RunWriter",
    "TrainingHeader",
    "Unfinished",
    "begin_training",
    "delete_run",
    "delete_training",
    "describe_run",
    "go_on",
    "list_runs",
    "open_run",
    "record",
    "unfinished",
    "unfinished_training",
]
