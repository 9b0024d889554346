"""What is kept on disk, and the background jobs that write it.

``paths`` names the folders; ``runs`` and ``trainings`` write and read one folder for each;
``listing`` lists them; ``jobs`` keeps the list of background work. This package knows only "an
iterator that yields progress": it imports neither the simulator nor the interface.
"""

from fisherdash.workspace.headers import RunHeader, TrainingHeader, describe_run
from fisherdash.workspace.listing import delete, entries
from fisherdash.workspace.runs import (
    Run,
    RunWriter,
    go_on,
    open_run,
    record,
    unfinished,
)
from fisherdash.workspace.trainings import begin_training, unfinished_training
