"""Death, cancellation, chunks and resuming, with force fields whose answers are known."""

import threading

import numpy as np
import pytest

from fisherdash.md import (
    NOT_FINITE,
    SURVIVING,
    Bonds,
    Group,
    MDSettings,
    Setting,
    engine,
    initial,
    run,
    start,
)
from tests.md import force_fields as ff

MASSES = initial.masses(ff.CARBON)
ENERGIES_AND_FRAMES = ("potential", "kinetic", "positions", "velocities")


def test_a_bond_pulled_apart_is_dead_at_the_right_step_and_the_rest_go_on():
    positions = np.tile(ff.chain(1)[0][0], (5, 1, 1))
    bonds = Bonds(ff.CHAIN_BONDS.pairs, ff.CHAIN_BONDS.measure(positions[0]))
    away = (positions[0, 3] - positions[0, 2]) / bonds.lengths[2]
    momenta = np.zeros_like(positions)
    # Atom 3 leaves along its bond at 0.00375 Å per step: 133 steps are 0.49875 Å, 134 0.5025 Å.
    momenta[2, 3] = 0.0075 * MASSES[3] * away
    momenta[4, 3] = -2 * momenta[2, 3]  # inwards, twice as fast: dead in step 67
    chunks = ff.trajectory(
        positions, momenta, force_field=ff.Free(), bonds=bonds, steps=200, record_every=4
    )
    last = chunks[-1]
    assert last.failed_step.tolist() == [[SURVIVING, SURVIVING, 134, SURVIVING, 67]]
    assert last.broken_bond.tolist() == [[SURVIVING, SURVIVING, 2, SURVIVING, 2]]

    times, potential = ff.joined(chunks, "times", 0), ff.joined(chunks, "potential")
    dead_from = np.array([np.inf, np.inf, 134, np.inf, 67]) * 0.5
    assert np.array_equal(np.isnan(potential[0]), times >= dead_from[:, None])
    assert np.array_equal(np.isnan(ff.joined(chunks, "kinetic")), np.isnan(potential))
    held = ff.joined(chunks, "positions")[0, 2, times >= 67.0]
    assert np.all(held == held[0])
    np.testing.assert_allclose(held[0, 3], positions[2, 3] + 134 * 0.00375 * away, atol=1e-6)


def test_the_living_never_notice_the_dead():
    """Bit for bit the same whether or not a neighbour in the batch explodes."""
    positions, momenta = ff.chain(3)
    doomed = momenta.copy()
    doomed[1] *= 25.0
    settings = {"bonds": ff.CHAIN_BONDS, "steps": 300, "params": np.array([4.0, 3.0])}
    healthy = ff.trajectory(positions, momenta, **settings)
    mixed = ff.trajectory(positions, doomed, **settings)
    assert np.all(mixed[-1].failed_step[:, 1] > 0)
    assert np.all(healthy[-1].failed_step == SURVIVING)
    for name in ENERGIES_AND_FRAMES:
        a, b = ff.joined(healthy, name), ff.joined(mixed, name)
        assert np.array_equal(a[:, [0, 2]], b[:, [0, 2]])
        assert not np.array_equal(a[:, 1], b[:, 1])


def test_an_energy_that_is_not_a_number_is_found_and_not_fed_back():
    positions, momenta = np.zeros((3, 4, 3)), np.zeros((3, 4, 3))
    momenta[1, 0, 0] = 0.02 * MASSES[0]  # 0.01 Å per step: beyond 0.255 Å in step 26
    chunks = ff.trajectory(
        positions, momenta, force_field=ff.Free(wall=0.255), steps=60, record_every=7
    )
    assert chunks[-1].failed_step.tolist() == [[SURVIVING, 26, SURVIVING]]
    assert chunks[-1].broken_bond.tolist() == [[SURVIVING, NOT_FINITE, SURVIVING]]
    state = chunks[-1].state
    assert all(np.all(np.isfinite(leaf)) for leaf in state)
    np.testing.assert_allclose(state.positions[0, 1, 0, 0], 0.25, atol=1e-12)  # last finite place


def test_dead_on_arrival_counts_from_step_zero_and_a_dead_batch_ends_the_run():
    positions, momenta = ff.chain(2)
    far = Bonds(ff.CHAIN_BONDS.pairs, ff.CHAIN_BONDS.lengths + np.array([0.0, 0.0, 2.0]))
    chunks = ff.trajectory(positions, momenta, bonds=far, steps=5000)
    assert chunks[-1].failed_step.tolist() == [[0, 0]]
    assert chunks[-1].broken_bond.tolist() == [[2, 2]]
    assert len(chunks) < 5 and chunks[-1].step == 5000  # nobody computed 5000 steps
    assert chunks[-1].times.tolist() == [2500.0] and chunks[-1].state.step == 5000
    assert np.all(np.isnan(ff.joined(chunks, "potential")))


def test_all_heads_start_alike_and_the_first_frame_is_the_start():
    positions, momenta = ff.chain(3)
    chunks = ff.trajectory(positions, momenta, params=np.array([4.0, 2.0, 1.0]), steps=20)
    assert [chunk.stage for chunk in chunks[:2]] == ["compiling", "running"]
    assert len(chunks[0].times) == 0
    first = chunks[1]
    assert first.times[0] == 0.0
    assert np.array_equal(first.state.positions, np.tile(positions, (3, 1, 1, 1)))
    assert np.array_equal(first.state.momenta, np.tile(momenta, (3, 1, 1, 1)))
    expected, _ = ff.MorseChain()(np.array([4.0, 2.0, 1.0]), np.tile(positions, (3, 1, 1, 1)))
    np.testing.assert_allclose(first.potential[:, :, 0], expected, rtol=1e-12)
    assert len(np.unique(first.potential)) == 9  # the heads do differ


def test_heads_that_do_not_start_alike_are_refused():
    positions, momenta = ff.chain(2)
    state = start(positions, momenta, 2)
    state.momenta[1, 0, 0, 0] += 1e-15
    group = Group(("a", "b"), (0, 1), ff.MorseChain(), np.array([4.0, 4.0]))
    chunks = run([group], state, Setting(MASSES, ff.NO_BONDS, 6), MDSettings(replicas=2))
    with pytest.raises(RuntimeError, match="momenta"):
        list(chunks)


@pytest.mark.parametrize("steps", [40, 43])
def test_the_way_into_chunks_changes_no_bit_and_the_last_part_is_exact(steps, monkeypatch):
    positions, momenta = ff.chain(3)
    rest = lambda step, *_: 1 if step < 0 else steps - step  # noqa: E731
    monkeypatch.setattr(engine, "steps_of_next_call", rest)
    whole = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=64)
    monkeypatch.setattr(engine, "steps_of_next_call", lambda step, *_: 1)
    single = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=2)
    due = [0, 10, 20, 30, 40] + [43] * (steps == 43)
    assert len(single) == 1 + len(due)  # a chunk a frame, each from ten calls
    assert len(whole) == 3  # compiling, the start, and all the rest in one call
    for chunks in (whole, single):
        assert chunks[-1].step == steps
        np.testing.assert_allclose(ff.joined(chunks, "times", 0), np.array(due) * 0.5)
    for name in ENERGIES_AND_FRAMES:
        assert np.array_equal(ff.joined(whole, name), ff.joined(single, name))
    for a, b in zip(whole[-1].state, single[-1].state, strict=True):
        assert np.array_equal(a, b)


def test_two_groups_give_what_one_gives():
    positions, momenta = ff.chain(3)
    depths = np.array([4.0, 3.0, 2.0])
    one = ff.trajectory(positions, momenta, params=depths, steps=50)
    groups = [
        Group(("c", "a"), (2, 0), ff.MorseChain(), depths[[2, 0]]),
        Group(("b",), (1,), ff.MorseChain(), depths[[1]]),
    ]
    setting, settings = Setting(MASSES, ff.NO_BONDS, 6), MDSettings(replicas=3, steps=50)
    two = list(run(groups, start(positions, momenta, 3), setting, settings))
    assert two[-1].names == ("a", "b", "c")
    for name in ENERGIES_AND_FRAMES:
        np.testing.assert_allclose(ff.joined(two, name), ff.joined(one, name), atol=1e-6)
    np.testing.assert_allclose(two[-1].state.positions, one[-1].state.positions, atol=1e-12)


def test_cancel_keeps_what_was_done_and_a_resumed_run_is_the_uninterrupted_one():
    positions, momenta = ff.chain(3)
    state, cancel = start(positions, momenta, 1), threading.Event()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.CHAIN_BONDS, 6)
    settings = MDSettings(replicas=3, steps=2000, record_every=5, chunk=4)
    whole = list(run([group], state, setting, settings))

    done = []
    for chunk in run([group], state, setting, settings, cancel):
        done.append(chunk)
        if chunk.step >= 100:
            cancel.set()
    assert 100 <= done[-1].step < 400
    rest = list(run([group], done[-1].state, setting, settings))
    assert rest[1].times[0] > done[-1].times[-1]
    for name in (*ENERGIES_AND_FRAMES, "times"):
        axis = 0 if name == "times" else 2
        assert np.array_equal(ff.joined(done + rest, name, axis), ff.joined(whole, name, axis))


def test_cancelled_before_it_begins():
    positions, momenta = ff.chain(1)
    cancel = threading.Event()
    cancel.set()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.NO_BONDS, 6)
    chunks = list(run([group], start(positions, momenta, 1), setting, MDSettings(1), cancel))
    assert [chunk.stage for chunk in chunks] == ["compiling"]


def test_a_second_run_compiles_nothing():
    positions, momenta = ff.chain(2)
    ff.trajectory(positions, momenta, steps=30)
    before = engine.advance._cache_size()
    ff.trajectory(
        positions + 0.01, momenta, steps=77, params=np.array([3.0]), timestep=0.7, record_every=3
    )
    assert engine.advance._cache_size() == before
    ff.trajectory(positions[:1], momenta[:1], steps=5)
    assert engine.advance._cache_size() == before + 1


def test_calls_end_at_frames_or_are_parts_of_the_way_to_one():
    rng = np.random.default_rng(0)
    for _ in range(300):
        every, capacity, steps = (int(rng.integers(1, most)) for most in (30, 6, 500))
        step = -1
        while step < steps:
            affordable = float(rng.uniform(0.0, 200.0))
            count = engine.steps_of_next_call(step, steps, every, capacity, affordable)
            end = step + count
            assert count >= 1 and end <= steps
            first, last = engine.frame_of(step + 1, every), engine.frame_of(end, every)
            assert last - first < capacity
            assert end % every == 0 or end == steps or last == first
            assert step < 0 or count <= max(affordable, 1) or end == steps
            step = end
        assert step == steps


def test_an_affordable_call_of_many_frames_is_used():
    assert engine.steps_of_next_call(-1, 5000, 10, 64, 1000.0) == 1
    assert engine.steps_of_next_call(0, 5000, 10, 64, 255.0) == 250
    assert engine.steps_of_next_call(0, 5000, 10, 8, 255.0) == 80
    assert engine.steps_of_next_call(10, 5000, 1000, 8, 255.0) == 255
    assert engine.steps_of_next_call(4990, 4997, 10, 8, 255.0) == 7
