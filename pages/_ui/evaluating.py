"""Several models held against the same frames, as a job; it knows nothing of Streamlit."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.evaluate import Errors, evaluate
from fisherdash.runs import jobs
from fisherdash.runs.commands import shell_command
from fisherdash.runs.jobs import Job, Progress


def submit_evaluation(
    paths: list[Path], data_path: Path, models: Mapping[str, Checkpoint], data: Dataset
) -> Job:
    """Hold models against the same frames; the result is the errors by the models' names."""

    def work(cancel: threading.Event) -> Iterator[Progress]:
        found: dict[str, Errors] = {}
        for done, (name, model) in enumerate(models.items()):
            if cancel.is_set():
                return None
            yield Progress(done / len(models), "evaluating", name)
            found[name] = evaluate(model, data)
        return found

    command = "\n".join(shell_command("evaluate", path, data_path) for path in paths)
    title = f"{len(models)} models on {data_path.stem}"
    return jobs.submit("evaluate", title, work, info={"command": command})
