"""Running a study: here, on a local Dask cluster, or on any other Dask scheduler.

The scheduler carries names only; everything else goes through the study's folder, which every
worker must see. When a worker is lost, Dask gives its unit to another, which finds on disk what was
finished: only the stage under way is done again.
"""

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fisherdash import dataset, storage
from fisherdash.errors import InputError
from fisherdash.study import store
from fisherdash.study.plan import (
    FAILED,
    SPEC_FILE,
    Interrupted,
    Plan,
    data_file,
    is_done,
    make_plan,
    open_plan,
)
from fisherdash.study.spec import Spec
from fisherdash.study.tables import collect, write_tables

START_TIMEOUT = "120s"
"""For the workers to reach their scheduler."""
POLL_SECONDS = 0.5
RETRIES = 3


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        models: in the whole population.
        done: models with every re-fit and every trajectory.
        failed: models that could not be done, with the reason on disk.
        stage: what is under way, in words.
        ended: whether this is the last report.
    """

    models: int
    done: int
    failed: int
    stage: str
    ended: bool = False


def prepare_study(spec: Spec, folder: Path) -> Plan:
    """Makes or extends the folder of a study, and checks that everything can be done.

    Raises:
        InputError: for data that cannot be read or have too few frames, or a folder that holds a
            study of other data under the same name.
    """
    whole = {}
    for name, data in spec.data.items():
        whole[name] = dataset.load(data.file, temperature=data.temperature, units=data.units)
    make_plan(spec, whole)  # refuses before anything is written
    folder = Path(folder)
    with storage.telling(folder):
        (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, data in whole.items():
        copy = data_file(folder, name)
        if copy.exists():
            kept = dataset.load(copy)
            if kept.fingerprint != data.fingerprint:
                raise InputError(
                    f"{folder} holds a study of other frames called {name!r}; give the data set "
                    "another name, or the study another folder"
                )
            if kept.temperature != data.temperature:
                known = (kept.temperature, data.temperature)
                before, now = ("an unknown temperature" if t is None else f"{t:g} K" for t in known)
                raise InputError(
                    f"{folder} was begun with {name!r} at {before} and it is at {now} now; give "
                    "the study another folder"
                )
            continue
        with storage.replacing(copy) as part:
            dataset.save(data, part)
    with storage.replacing(folder / SPEC_FILE) as part:
        part.write_text(spec.text, encoding="utf-8")
    return open_plan(folder)


def run_study(
    spec: Spec,
    folder: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Progress]:
    """Does what is left of a study.

    Args:
        spec: what to do.
        folder: of the study; an existing one is resumed, or extended.
        workers: processes of a local Dask cluster, None for one a core (one where there is an
            accelerator), 0 to work in this process without Dask.
        scheduler: address of a Dask scheduler whose workers see ``folder``.
        cancel: set it to stop; finished stages are kept, the rest can be resumed.

    Yields:
        Progress, about twice a second. Before the last one the tables are written.

    Raises:
        InputError: see :func:`prepare_study`, and for a scheduler that does not answer.
    """
    folder = Path(folder).resolve()
    plan = prepare_study(spec, folder)
    cancel = cancel or threading.Event()
    return _running(plan, folder, workers, scheduler, cancel)


def read_progress(folder: Path, plan: Plan) -> Progress:
    """Counts what is on disk."""
    return _Tally(folder, plan).progress("")


class _Tally:
    """Counts what is done; a member that was found done is not read again at the next count."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._failed: dict[str, bool] = {}  # of the members that are done

    def progress(self, stage: str, *, ended: bool = False) -> Progress:
        """How far the study is now."""
        for member in self._plan.members:
            if member.name not in self._failed and is_done(self._folder, self._plan, member):
                failed = (store.home(self._folder, member.name) / FAILED).exists()
                self._failed[member.name] = failed
        failures = sum(self._failed.values())
        done = len(self._failed) - failures
        return Progress(len(self._plan.members), done, failures, stage, ended)

    def is_done(self, name: str) -> bool:
        """Whether nothing was left of a member at the last count."""
        return name in self._failed


def _running(
    plan: Plan, folder: Path, workers: int | None, scheduler: str | None, cancel: threading.Event
) -> Iterator[Progress]:
    tally, stage = _Tally(folder, plan), "finished"
    yield tally.progress("starting")
    units = [
        [member.name for member in unit]
        for unit in plan.units
        if not all(tally.is_done(member.name) for member in unit)
    ]
    try:
        if units and workers == 0 and scheduler is None:
            for number, unit in enumerate(units, start=1):
                yield tally.progress(f"unit {number} of {len(units)}")
                from fisherdash.study.stages import do_unit

                do_unit(folder, unit, cancel)
        elif units:
            yield from _on_dask(tally, folder, units, workers, scheduler, cancel)
    except Interrupted:
        stage = "stopped"
    write_tables(collect(folder, plan), folder / "tables")
    yield tally.progress(stage, ended=True)


def _on_dask(
    tally: _Tally,
    folder: Path,
    units: list[list[str]],
    workers: int | None,
    scheduler: str | None,
    cancel: threading.Event,
) -> Iterator[Progress]:
    with _client(workers, len(units), scheduler) as client:
        futures = [
            client.submit(_task, str(folder), unit, key=f"unit-{unit[0]}", retries=RETRIES)
            for unit in units
        ]
        while waiting := [future for future in futures if not future.done()]:
            if cancel.is_set():
                client.cancel(waiting, force=True)
                raise Interrupted
            busy = len(client.scheduler_info()["workers"])
            yield tally.progress(f"{len(waiting)} of {len(units)} units left on {busy} workers")
            cancel.wait(POLL_SECONDS)
        for future in futures:
            if future.status == "error":
                raise future.exception()


def _task(folder: str, unit: list[str]) -> None:
    from fisherdash.background import keep_compilations

    keep_compilations()
    from fisherdash.study.stages import do_unit

    do_unit(Path(folder), unit)


@contextlib.contextmanager
def _client(workers: int | None, units: int, scheduler: str | None) -> Iterator[Any]:
    """A connection to the scheduler, or to one that lives as long as the study runs."""
    import distributed

    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=5)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {scheduler!r}; it looks like tcp://HOST:8786"
            ) from error
        with client:
            yield client
        return
    cores = sorted(os.sched_getaffinity(0))
    if not workers:
        import jax

        workers = len(cores) if jax.default_backend() == "cpu" else 1
    count = min(workers, units)
    with _cluster(count) as cluster, distributed.Client(cluster) as client:
        client.register_plugin(_share_of_the_cores(cores, count))
        yield client


def _cluster(workers: int) -> Any:
    """Workers on this machine; a loaded one gets longer than Dask gives it, and a second try."""
    import distributed

    settings: Any = distributed.config  # Dask's own, which the workers inherit
    settings["distributed"]["comm"]["timeouts"]["connect"] = START_TIMEOUT

    def start() -> Any:
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        )

    try:
        return start()
    except RuntimeError:
        time.sleep(POLL_SECONDS)
    try:
        return start()
    except RuntimeError as error:
        raise InputError(
            f"the {workers} workers of the study did not start ({error.__cause__ or error}); "
            "nothing is lost: run the same command again when the machine is less busy"
        ) from error


def _share_of_the_cores(cores: list[int], workers: int) -> Any:
    """Gives each worker its own cores: small networks lose more by sharing than they gain."""
    import distributed

    class Share(distributed.WorkerPlugin):
        name = "share-of-the-cores"

        def setup(self, worker: Any) -> None:
            number = int(worker.name) % workers
            os.sched_setaffinity(0, cores[number::workers] or cores)

    return Share()
