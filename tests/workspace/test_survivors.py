"""Who lives is looked at, who is dead is not, and every chunk is read once."""

import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import runs
from fisherdash.workspace.runs import last_velocities, survivor_positions
from tests.workspace.test_runs import HEADS, PER_CHUNK, REPLICAS, chunk, folder, header, write

__all__ = ["folder"]  # a fixture


def test_every_living_replica_of_every_frame_but_the_first(folder):
    chunks = write(folder)
    found = survivor_positions(runs.open_run(folder), most=1000)
    assert list(found) == ["default", "fisher"]
    everything = np.concatenate([part.positions for part in chunks], axis=2)[:, :, 1:]
    for head, frames in enumerate(found.values()):
        expected = np.swapaxes(everything[head], 0, 1).reshape(-1, 4, 3)
        np.testing.assert_array_equal(frames, expected)


def test_the_dead_are_left_out_from_their_death_on(folder):
    writer, part = runs.RunWriter(folder, header()), chunk(0)
    part.failed_step[0, 1] = 6  # 3 fs; frames are 1 fs apart
    writer.append(part)
    writer.finish("finished")
    found = survivor_positions(runs.open_run(folder), most=1000)
    assert len(found["fisher"]) == REPLICAS * (PER_CHUNK - 1)
    assert len(found["default"]) == REPLICAS * (PER_CHUNK - 1) - 2
    gone = part.positions[0, 1, 3:]
    assert not (found["default"][:, None] == gone).all(axis=(2, 3)).any()
    assert len(found) == HEADS


def test_a_run_without_frames_gives_nothing(folder):
    write(folder, count=0)
    assert [len(frames) for frames in survivor_positions(runs.open_run(folder)).values()] == [0, 0]


def test_velocities_of_those_who_live_at_the_last_even_frame(folder):
    writer = runs.RunWriter(folder, header())
    chunks = [chunk(number) for number in range(3)]
    chunks[2].times[-1] -= 0.5  # the last step, half an interval early
    for part in chunks:
        part.failed_step[1, 2] = 12
        writer.append(part)
    writer.finish("finished")
    found, spacing = last_velocities(runs.open_run(folder))
    everything = np.concatenate([part.velocities for part in chunks], axis=2)
    assert spacing == 1.0
    np.testing.assert_array_equal(found["default"], everything[0, :, :-1])
    np.testing.assert_array_equal(found["fisher"], everything[1, :2, :-1])
    few, _ = last_velocities(runs.open_run(folder), most=4)
    np.testing.assert_array_equal(few["default"], everything[0, :, -5:-1])


def test_a_run_too_short_for_a_spectrum_is_one_sentence(folder):
    write(folder, count=0)
    with pytest.raises(InputError, match="0 evenly spaced frames"):
        last_velocities(runs.open_run(folder))
