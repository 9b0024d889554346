"""A few members that are worked on together, and what is still to be done for them."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fisherdash.simulate import MDSettings
from fisherdash.study import store
from fisherdash.study.plan import Frames, Member, Plan, head_key, run_key
from fisherdash.study.spec import DEFAULT_HEAD

TRAINING, HEADS, FAILED = "training.json", "heads.json", "failed.json"
NETWORK = "default.safetensors"


class Interrupted(Exception):
    """The work was asked to stop; what is on disk stays."""


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """Members of one shape, where they lie, and the wish to stop."""

    folder: Path
    plan: Plan
    members: tuple[Member, ...]
    cancel: threading.Event

    @property
    def frames(self) -> Frames:
        """The data set of these members."""
        return self.plan.frames[self.members[0].model.data]

    def file(self, member: Member, name: str) -> Path:
        """A file of a member."""
        return store.home(self.folder, member.name) / name

    def run_file(self, member: Member, settings: MDSettings) -> Path:
        """Where the dynamics of a member with these settings are kept."""
        return run_file(store.home(self.folder, member.name), settings)

    def alive(self) -> list[Member]:
        """Members that have not failed."""
        return [member for member in self.members if not self.file(member, FAILED).exists()]

    def fail(self, member: Member, why: str) -> None:
        """Gives a member up, with the reason."""
        store.log(self.folder, "failed", member=member.name, why=why)
        store.write(self.file(member, FAILED), {"why": why})

    def stop_if_asked(self) -> None:
        """Raises Interrupted once the work was asked to stop."""
        if self.cancel.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def stage(self, stage: str, members: Sequence[Member]) -> Iterator[Callable[[], float]]:
        """Logs the beginning and the end; gives a clock of the seconds since."""
        self.stop_if_asked()
        names, started = [member.name for member in members], time.perf_counter()
        store.log(self.folder, "started", stage=stage, members=names)
        yield lambda: time.perf_counter() - started
        seconds = round(time.perf_counter() - started, 3)
        store.log(self.folder, "finished", stage=stage, members=names, seconds=seconds)


def is_done(folder: Path, plan: Plan, member: Member) -> bool:
    """Whether nothing is left to do for a member, because it is finished or because it failed."""
    place = store.home(folder, member.name)
    if (place / FAILED).exists():
        return True
    heads = store.read(place / HEADS) if (place / TRAINING).exists() else None
    if heads is None or heads_left(plan, heads):
        return False
    return not any(
        names_left(store.read(run_file(place, settings)), heads) for settings in plan.spec.dynamics
    )


def run_file(place: Path, settings: MDSettings) -> Path:
    """Where the dynamics with these settings lie in a member's folder."""
    return place / f"run-{run_key(settings)}.json"


def heads_left(plan: Plan, found: dict[str, Any]) -> list[str]:
    """Heads of the plan that are not in a member's heads."""
    have = found["heads"]
    left = [
        name
        for name, options in plan.spec.heads.items()
        if name not in have or have[name]["key"] != head_key(options)
    ]
    return left if DEFAULT_HEAD in have else [DEFAULT_HEAD, *left]


def names_left(run: dict[str, Any] | None, heads: dict[str, Any]) -> list[str]:
    """Heads without trajectories; one that kept the default has those of the default."""
    have = run["heads"] if run else {}
    return [
        name
        for name, head in heads["heads"].items()
        if not head.get("kept_default")
        and "refused" not in head
        and (name not in have or have[name]["key"] != head["key"])
    ]
