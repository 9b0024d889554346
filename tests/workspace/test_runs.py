"""Runs on disk: what goes in comes out, whole or refused with a sentence."""

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import headers, listing, runs
from tests.workspace.recorded import (
    HEADS,
    PER_CHUNK,
    REPLICAS,
    SETTINGS,
    chunk,
    folder,
    header,
    write,
)

__all__ = ["folder"]  # a fixture


def test_energies_and_frames_come_back_exactly(folder):
    chunks = write(folder)
    run = runs.open_run(folder)
    for name, axis in (("times", 0), ("potential", 2), ("kinetic", 2)):
        whole = np.concatenate([getattr(part, name) for part in chunks], axis=axis)
        np.testing.assert_array_equal(getattr(run.trajectories(), name), whole)
    positions = np.concatenate([part.positions for part in chunks], axis=2)
    velocities = np.concatenate([part.velocities for part in chunks], axis=2)
    wanted = np.array([14, 0, 5, 4, 9])
    np.testing.assert_array_equal(run.frames(1, 2, wanted), positions[1, 2, wanted])
    np.testing.assert_array_equal(
        run.frames(0, 1, wanted, what="velocities"), velocities[0, 1, wanted]
    )
    assert (run.status, run.step, run.steps_per_second) == ("finished", 28, 102.0)
    assert run.typical_speed == 101.0


def test_reference_energies_are_those_of_the_last_frame_and_of_no_other_run(folder):
    parts = write(folder, count=2)
    run, energies = runs.open_run(folder), np.arange(6.0).reshape(HEADS, REPLICAS)
    assert run.trajectories().reference_energy is None
    run.keep_reference(energies)
    for one in (run, runs.open_run(folder)):
        np.testing.assert_array_equal(one.trajectories().reference_energy, energies)
    later = chunk(2)
    arrays = {name: getattr(later, name) for name in (*runs._SCALARS, *runs._VECTORS)}
    arrays |= {"step": np.int64(later.step), "steps_per_second": np.float64(1.0)}
    headers.save(folder / headers.CHUNK.format(len(parts)), arrays)
    assert run.refresh() and run.trajectories().reference_energy is None
    headers.save(folder / headers.REFERENCE, {"step": run.step, "energies": np.zeros(3)})
    with pytest.raises(InputError, match=r"reference\.npz cannot be read"):
        run.refresh()


@pytest.mark.parametrize(
    "changes",
    [{"identity": "b" * 32}, {"settings": {**SETTINGS, "seed": 8}}],
    ids=["identity", "a run without one, of another seed"],
)
def test_a_run_in_the_folder_of_another_of_the_same_length_has_its_own_numbers(folder, changes):
    """Also for what has read the other one, and for all that is kept about it."""
    before = write(folder)
    run = runs.open_run(folder)
    subject, every = run.subject, np.arange(len(run.times))
    read = run.frames(1, 0, every)
    shutil.rmtree(folder)
    after = write(folder, first=10, **changes)
    assert run.refresh() and len(run.times) == sum(len(part.times) for part in before)
    whole = np.concatenate([part.potential for part in after], axis=2)
    np.testing.assert_array_equal(run.trajectories().potential, whole)
    positions = np.concatenate([part.positions[1, 0] for part in after])
    np.testing.assert_array_equal(run.frames(1, 0, every), positions)
    assert not np.array_equal(read, positions)
    assert run.subject != subject and run.subject == runs.open_run(folder).subject


def test_two_runs_of_the_same_settings_are_two():
    model = SimpleNamespace(name="a", fingerprint="b", provenance={})
    water = SimpleNamespace(formula="H2O", atomic_numbers=(8, 1, 1), source="", fingerprint="c")
    settings = SimpleNamespace(to_json=lambda: SETTINGS)
    one, two = (headers.describe_run({"a": model}, water, settings) for _ in range(2))
    assert one.born != two.born


def test_the_header_comes_back_with_what_the_first_chunk_knew(folder):
    write(folder)
    found = runs.open_run(folder).header
    made = header(created=found.created, versions=found.versions)
    assert found == dataclasses.replace(
        made,
        bonds=((0, 1, 0.96), (0, 2, 0.97)),
        clash_limits={"H-H": 1.2},
        degrees_of_freedom=6,
        device="one test device",
        notes=("3 distinct frames",),
    )
    assert found.symbols == ("O", "H", "H", "C")
    assert found.masses[1] == pytest.approx(1.008, abs=1e-3)


def test_a_run_being_written_can_be_read_and_followed(folder):
    writer = runs.RunWriter(folder, header())
    run = runs.open_run(folder)
    assert (run.status, len(run.times), run.refresh()) == ("running", 0, False)
    writer.append(chunk(0))
    assert run.refresh() and len(run.times) == PER_CHUNK
    writer.append(chunk(1))
    assert run.refresh() and len(run.times) == 2 * PER_CHUNK
    assert not run.refresh()
    writer.finish("cancelled")
    run.refresh()
    assert run.status == "cancelled"


def test_a_reader_beside_a_writer_never_sees_arrays_that_do_not_fit(folder):
    """One thread follows the run while another reads it; every reading must be of one moment."""
    writer = runs.RunWriter(folder, header())
    run, done, shapes = runs.open_run(folder), threading.Event(), set()

    def read():
        while not done.is_set():
            now = run.trajectories()
            shapes.add(len(now.times) == now.potential.shape[2] == now.kinetic.shape[2])

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        for number in range(30):
            writer.append(chunk(number))
            run.refresh()
        done.set()
        reader.result()  # raises what the reader met
    assert shapes == {True} and len(run.times) == 30 * PER_CHUNK


def test_a_run_whose_writer_is_gone_is_interrupted(folder):
    write(folder, status="running")
    (folder / "writer.lock").unlink()  # as before there were locks: the process is what counts
    assert runs.open_run(folder).status == "running"
    path = folder / "run.json"
    fields = json.loads(path.read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    fields["writer"]["pid"] = gone.pid
    path.write_text(json.dumps(fields))
    assert runs.open_run(folder).status == "interrupted"


def test_only_energies_are_read_at_opening(folder, monkeypatch):
    write(folder)
    asked = []
    real = headers.load
    monkeypatch.setattr(
        headers, "load", lambda path, names: asked.extend(names) or real(path, names)
    )
    run = runs.open_run(folder)
    assert "potential" in asked and "positions" not in asked
    run.frames(0, 0, np.array([1]))
    assert asked.count("positions") == 1


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "run.json").unlink(), "holds no run.json"),
        (
            lambda folder: (folder / "run.json").write_text('{"format": 1, "ti'),
            "run.json is damaged",
        ),
        (lambda folder: (folder / "run.json").write_text("[1, 2]"), "not a FisherDash run header"),
        (lambda folder: (folder / "run.json").write_text('{"format": 99}'), "format 99"),
        (lambda folder: (folder / "run.json").write_text('{"format": 1}'), "run.json is damaged"),
        (lambda folder: (folder / "chunk-000001.npz").unlink(), "chunk-000001.npz is missing"),
        (lambda folder: cut(folder / "chunk-000001.npz"), "chunk-000001.npz cannot be read"),
        (lambda folder: (folder / "chunk-000000.npz").write_bytes(b""), "cannot be read"),
        (lambda folder: swap(folder), "potential must have the shape"),
    ],
)
def test_damage_is_one_sentence(folder, harm, words):
    write(folder)
    harm(folder)
    with pytest.raises(InputError, match=words) as caught:
        runs.open_run(folder)
    assert "\n" not in str(caught.value)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(folder):
    part = vars(chunk(1))
    part["potential"] = part["potential"][:1]
    names = ("times", "potential", "kinetic", "failed_step", "cause", "steps_per_second")
    arrays = {name: part[name] for name in names} | {"step": np.int64(1)}
    headers.save(folder / "chunk-000001.npz", arrays)


def test_a_pickled_chunk_is_refused_and_not_run(folder):
    write(folder)
    np.savez(folder / "chunk-000001.npz", times=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        runs.open_run(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ("a", "a")}, "its own name"),
        ({"roles": ("default",)}, "2 heads have 1 roles"),
        ({"atomic_numbers": (0, 1)}, "atomic numbers"),
        ({"settings": {"steps": 3}}, "lack replicas, timestep"),
    ],
)
def test_a_header_refuses_what_does_not_fit(changes, words):
    with pytest.raises(InputError, match=words):
        header(**changes)


def test_record_passes_chunks_through_and_says_how_the_run_ended(folder):
    parts = [chunk(0), chunk(1)]
    parts[1].step = 20
    assert list(runs.record(iter(parts), folder, header())) == parts
    assert runs.open_run(folder).status == "finished"

    other = folder.with_name("two")
    assert len(list(runs.record(iter(parts[:1]), other, header()))) == 1
    assert runs.open_run(other).status == "cancelled"

    def broken():
        yield parts[0]
        raise ZeroDivisionError("planted")

    third = folder.with_name("three")
    with pytest.raises(ZeroDivisionError):
        list(runs.record(broken(), third, header()))
    assert runs.open_run(third).status == "failed"
    assert len(runs.open_run(third).times) == PER_CHUNK  # what was computed is kept


def test_a_second_run_does_not_overwrite_the_first(folder):
    write(folder)
    with pytest.raises(InputError, match="already holds a run"):
        runs.RunWriter(folder, header())


def test_the_list_shows_damaged_runs_with_what_is_wrong(folder):
    write(folder)
    bad = folder.with_name("bad")
    bad.mkdir()
    entries = {entry.folder.name: entry for entry in listing.entries("runs")}
    assert entries["one"].problem is None and entries["one"].title == "a test"
    assert "holds no run.json" in entries["bad"].problem


def test_delete_removes_one_run_and_nothing_else(folder, tmp_path):
    write(folder)
    writer = runs.RunWriter(folder.with_name("two"), header())
    outside = tmp_path / "outside"
    write(outside)
    for wrong in (outside, folder.parent, folder / ".." / ".." / "outside"):
        with pytest.raises(InputError, match="not a run or a training of the workspace"):
            listing.delete(wrong)
    with pytest.raises(InputError, match="still being written"):
        listing.delete(folder.with_name("two"))
    listing.delete(folder)
    assert not folder.exists() and outside.exists()
    assert [entry.folder.name for entry in listing.entries("runs")] == ["two"]
    writer.finish("cancelled")
    listing.delete(folder.with_name("two"))
    assert list(folder.parent.iterdir()) == []
