"""A trajectory that is taken away is the one that was recorded."""

import io

import ase.io
import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import runs
from fisherdash.workspace.runs import extended_xyz
from tests.workspace.test_runs import PER_CHUNK, SETTINGS, chunk, folder, header, write

__all__ = ["folder"]  # a fixture


def read(run, head, replica):
    text = b"".join(extended_xyz(run, head, replica)).decode()
    return ase.io.read(io.StringIO(text), index=":", format="extxyz")


def test_ase_reads_back_what_was_recorded(folder):
    chunks = write(folder)
    frames = read(runs.open_run(folder), 1, 2)
    assert len(frames) == 3 * PER_CHUNK
    assert frames[0].get_chemical_formula() == "CH2O" and not frames[0].pbc.any()
    for number, part in enumerate(chunks):
        for k in range(PER_CHUNK):
            atoms = frames[number * PER_CHUNK + k]
            np.testing.assert_array_equal(np.float32(atoms.positions), part.positions[1, 2, k])
            np.testing.assert_array_equal(
                np.float32(atoms.arrays["velo"]), part.velocities[1, 2, k]
            )
            assert atoms.info["time_fs"] == part.times[k] and atoms.info["alive"]
            assert atoms.info["potential_eV"] == pytest.approx(part.potential[1, 2, k], rel=1e-9)
            assert (atoms.info["head"], atoms.info["replica"]) == ("fisher", 3)


def test_frames_after_death_say_so_and_have_no_energy(folder):
    writer, part = runs.RunWriter(folder, header()), chunk(0)
    part.failed_step[0, 1] = 6  # 3 fs
    part.potential[0, 1, 3:] = part.kinetic[0, 1, 3:] = np.nan
    writer.append(part)
    writer.finish("finished")
    frames = read(runs.open_run(folder), 0, 1)
    assert [atoms.info["alive"] for atoms in frames] == [True, True, True, False, False]
    assert ["potential_eV" in atoms.info for atoms in frames] == [True] * 3 + [False] * 2
    assert SETTINGS["timestep"] == 0.5


def test_a_name_cannot_break_the_line_that_carries_it(folder):
    writer = runs.RunWriter(folder, header(names=('a "quoted" head', "b")))
    writer.append(chunk(0))
    writer.finish("finished")
    assert read(runs.open_run(folder), 0, 0)[0].info["head"] == "a 'quoted' head"


@pytest.mark.parametrize(("head", "replica"), [(2, 0), (0, 3), (-1, 0)])
def test_a_trajectory_that_is_not_there_is_one_sentence(folder, head, replica):
    write(folder)
    with pytest.raises(InputError, match="the run has 2 heads and 3 replicas"):
        next(extended_xyz(runs.open_run(folder), head, replica))
