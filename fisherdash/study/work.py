"""One unit of a study, stage by stage: train, re-fit, simulate. Files in, files out.

What is finished is on disk and is never done again; what was interrupted is done again from the
last file on (dynamics from their last chunk). A process needs nothing but the study's folder.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from fisherdash.study.dynamics import simulate_members
from fisherdash.study.fitting import refit_members, train_members
from fisherdash.study.plan import open_plan
from fisherdash.study.unit import Unit, is_done


def do_unit(folder: Path, names: Sequence[str], cancel: threading.Event | None = None) -> None:
    """Does what is left of the members with these names, all of one shape.

    Raises:
        Interrupted: when ``cancel`` was set.
    """
    folder = Path(folder).resolve()
    plan, wanted = open_plan(folder), set(names)
    members = tuple(m for m in plan.members if m.name in wanted and not is_done(folder, plan, m))
    if not members:
        return
    unit = Unit(folder, plan, members, cancel or threading.Event())
    train_members(unit)
    refit_members(unit)
    for settings in plan.spec.dynamics:
        simulate_members(unit, settings)
