"""Parts of a computation tell their share of the whole, and stop it together."""

import threading

import pytest

from fisherdash.errors import InputError
from fisherdash.monitor import UNWATCHED, Monitor


def test_parts_of_parts_tell_their_share_of_the_stage():
    told = []
    monitor = Monitor(report=lambda *said: told.append(said)).of("solving")
    for number in range(4):
        quarter = monitor.part(number / 4, (number + 1) / 4)
        quarter.part(0.5, 1.0).tell(0.0)
    monitor.of("labelling").tell(0.5)
    monitor.silent.tell(1.0)
    assert told == [*(("solving", share) for share in (0.125, 0.375, 0.625, 0.875)),
                    ("labelling", 0.5)]  # fmt: skip


def test_every_part_stops_with_the_whole():
    cancel = threading.Event()
    monitor = Monitor(cancel)
    parts = (monitor, monitor.of("solving"), monitor.part(0.2, 0.4), monitor.silent)
    for part in parts:
        part.stop_if_cancelled("the solve")
    cancel.set()
    for part in parts:
        with pytest.raises(InputError, match=r"^the solve was cancelled after 3 of 8 frames$"):
            part.stop_if_cancelled("the solve", "3 of 8 frames")
    with pytest.raises(InputError, match=r"^the solve was cancelled$"):
        monitor.stop_if_cancelled("the solve")


def test_nobody_needs_to_watch():
    UNWATCHED.tell(1.0)
    UNWATCHED.stop_if_cancelled("the solve")
    assert not UNWATCHED.cancelled
