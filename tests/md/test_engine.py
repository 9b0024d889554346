"""Death, cancellation, chunks and resuming, with force fields whose answers are known."""

import numpy as np
import pytest

from fisherdash.md import (
    NOT_FINITE,
    SURVIVING,
    Bonds,
    Group,
    MDSettings,
    Setting,
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
    assert last.cause.tolist() == [[SURVIVING, SURVIVING, 2, SURVIVING, 2]]

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
    assert chunks[-1].cause.tolist() == [[SURVIVING, NOT_FINITE, SURVIVING]]
    state = chunks[-1].state
    assert all(np.all(np.isfinite(leaf)) for leaf in state)
    np.testing.assert_allclose(state.positions[0, 1, 0, 0], 0.25, atol=1e-12)  # last finite place


def test_dead_on_arrival_counts_from_step_zero_and_a_dead_batch_ends_the_run():
    positions, momenta = ff.chain(2)
    far = Bonds(ff.CHAIN_BONDS.pairs, ff.CHAIN_BONDS.lengths + np.array([0.0, 0.0, 2.0]))
    chunks = ff.trajectory(positions, momenta, bonds=far, steps=5000)
    assert chunks[-1].failed_step.tolist() == [[0, 0]]
    assert chunks[-1].cause.tolist() == [[2, 2]]
    assert len(chunks) < 5 and chunks[-1].step == 5000  # nobody computed 5000 steps
    assert chunks[-1].times.tolist() == [2500.0] and chunks[-1].state.step == 5000
    assert np.all(np.isnan(ff.joined(chunks, "potential")))


@pytest.mark.slow
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
