"""The failure criterion: planted force fields, real data, and runs that go on."""

import dataclasses
import itertools
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash import dataset, workspace
from fisherdash.dataset import Dataset
from fisherdash.md import (
    Bonds,
    Contacts,
    Group,
    MDSettings,
    Setting,
    find_contacts,
    initial,
    resume,
    run,
    simulate,
    start,
)
from fisherdash.trajectories import CLASH
from tests import networks
from tests.md import force_fields as ff

MASSES = initial.masses(ff.CARBON)
SAMPLE = Path(__file__).parents[2] / "sample_models" / "ethanol_500K.npz"
ETHANOL = Path(__file__).parents[1] / "data" / "version_0" / "ethanol.npz"
APART = {"C-C": 0.85 * 2.4}


@dataclasses.dataclass(frozen=True)
class NoRepulsion(ff.MorseChain):
    """Bonds that hold, and atoms 0 and 3 that nothing keeps apart."""

    def energy(self, depth: jax.Array, x: jax.Array) -> jax.Array:
        near = jnp.linalg.norm(x[1:] - x[:-1], axis=-1)
        stretch = jnp.sum((1.0 - jnp.exp(-2.0 * (near - 1.5))) ** 2)
        return depth * stretch + 0.3 * jnp.sum((x[3] - x[0]) ** 2)


def watched(bonds=ff.CHAIN_BONDS, limits=APART) -> Contacts:
    return Contacts.of(ff.CARBON, bonds, limits)


def chunks_of(force_field, replicas=4, *, contacts=None, momenta=None, cancel=None, **settings):
    positions, drawn = ff.chain(replicas)
    setting = Setting(MASSES, ff.CHAIN_BONDS, 6, contacts=contacts)
    group = Group(("a",), (0,), force_field, np.array([4.0]))
    chosen = MDSettings(**{"replicas": replicas, "steps": 2000, **settings})
    began = start(positions, drawn if momenta is None else momenta, 1)
    return list(run([group], began, setting, chosen, cancel))


def distance(positions, pair) -> np.ndarray:
    first, second = pair
    return np.linalg.norm(positions[..., first, :] - positions[..., second, :], axis=-1)


def test_without_a_repulsion_atoms_clash_while_all_bonds_hold():
    chunks = chunks_of(NoRepulsion(), contacts=watched(), record_every=1)
    last = chunks[-1]
    assert last.failure_counts() == {"a": {"bond": 0, "clash": 4, "not_finite": 0}}
    times = ff.joined(chunks, "times", 0)
    positions = ff.joined(chunks, "positions")[0]
    for replica, step in enumerate(last.failed_step[0]):
        pair = last.clash(0, replica)
        assert pair in {(0, 2), (0, 3), (1, 3)}
        at, track = np.searchsorted(times, step * 0.5), positions[replica]
        near = distance(track, pair)
        assert near[at] < APART["C-C"] <= near[at - 1] + 1e-6
        assert np.all(np.abs(ff.CHAIN_BONDS.measure(track) - 1.5) < 0.5)
        assert np.all(track[at:] == track[at]) and np.ptp(track[:at], axis=0).max() > 0.1
        assert np.isnan(ff.joined(chunks, "potential")[0, replica, at:]).all()
        assert np.isfinite(ff.joined(chunks, "potential")[0, replica, :at]).all()


def test_a_clash_comes_before_the_bond_breaks_and_changes_nothing_until_then():
    looked, blind = (chunks_of(NoRepulsion(), contacts=one) for one in (watched(), None))
    assert blind[-1].failure_counts()["a"]["clash"] == 0
    later = np.where(blind[-1].failed_step < 0, np.inf, blind[-1].failed_step)
    assert np.all(looked[-1].failed_step < later)
    first, second = (ff.joined(chunks, "potential") for chunks in (looked, blind))
    frames = min(first.shape[-1], second.shape[-1]) - 1
    first, second = first[..., :frames], second[..., :frames]
    before = np.isfinite(first)
    assert before.any() and np.array_equal(first[before], second[before])


def test_limits_that_nobody_reaches_change_no_bit():
    far = watched(limits={"C-C": 0.5})
    looked, blind = (chunks_of(ff.MorseChain(), contacts=one) for one in (far, None))
    for name in ("potential", "kinetic", "positions", "velocities"):
        assert np.array_equal(ff.joined(looked, name), ff.joined(blind, name))


def test_every_failure_is_counted_once_and_by_its_kind():
    """A bond pulled apart, a clash, a number that is none, and a survivor, in one batch."""
    positions = np.tile([[0.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0], [4.5, 0, 0]], (4, 1, 1))
    momenta = np.zeros_like(positions)
    momenta[0, 3, 0] = 0.02 * MASSES[3]  # to the right: its bond breaks after 0.5 Å
    momenta[1, :2, 0] = 0.02 * MASSES[:2]  # the left two onto the right two
    momenta[2, :, 1] = 0.02 * MASSES  # upwards as a whole, beyond the wall
    halves = Bonds(np.array([[0, 1], [2, 3]]), np.full(2, 1.5))
    setting = Setting(MASSES, halves, 6, contacts=watched(halves, {"C-C": 1.2}))
    group = Group(("a",), (0,), ff.Free(wall=6.0), np.array([0.0]))
    settings = MDSettings(replicas=4, steps=1000)
    last = list(run([group], start(positions, momenta, 1), setting, settings))[-1]
    assert last.kinds.tolist() == [[0, 1, 2, -1]]
    assert last.cause[0].tolist() == [1, CLASH - (1 * 4 + 2), -2, -1]
    counts = last.failure_counts()["a"]
    assert counts == {"bond": 1, "clash": 1, "not_finite": 1}
    assert sum(counts.values()) == np.sum(~last.survivors)
    assert last.clash(0, 1) == (1, 2) and last.clash(0, 0) is None and last.clash(0, 3) is None


def test_a_cancelled_run_goes_on_to_the_same_kinds():
    whole = chunks_of(NoRepulsion(), contacts=watched(), record_every=5, chunk=1)
    steps = np.sort(whole[-1].failed_step[0])
    assert steps[0] < steps[-1]  # so that one has failed and another has not
    positions, momenta = ff.chain(4)
    state, cancel = start(positions, momenta, 1), threading.Event()
    group = Group(("a",), (0,), NoRepulsion(), np.array([4.0]))
    setting = Setting(MASSES, ff.CHAIN_BONDS, 6, contacts=watched())
    settings = MDSettings(replicas=4, steps=2000, record_every=1, chunk=1)
    for chunk in run([group], state, setting, settings, cancel):
        if chunk.step >= steps[0]:
            cancel.set()
            half = chunk
            break
    assert np.sum(half.failed_step >= 0) < 4
    rest = list(run([group], half.state, setting, settings))
    for name in ("failed_step", "cause"):
        assert np.array_equal(getattr(rest[-1], name), getattr(whole[-1], name))


@pytest.mark.slow
def test_a_run_on_disk_keeps_its_limits_and_its_kinds(tmp_path):
    """Stopped in the middle, read back, resumed: the same as if it had never stopped."""
    data = networks.water()
    models = {"x": networks.checkpoint(0), "y": networks.checkpoint(0, 1e-5)}
    settings = MDSettings(
        replicas=6, steps=400, temperature=1500.0, record_every=5, chunk=2, clash=0.99
    )
    header = workspace.describe_run(models, data, settings)
    for _ in workspace.record(simulate(models, data, settings), tmp_path / "a", header, models):
        pass
    stopped = workspace.record(simulate(models, data, settings), tmp_path / "b", header, models)
    for chunk in stopped:
        if chunk.step >= 40:
            break
    stopped.close()
    left = workspace.unfinished(tmp_path / "b")
    rest = resume(left.header, left.checkpoints, left.state)
    for _ in workspace.go_on(rest, left):
        pass
    one, two = (workspace.open_run(tmp_path / name).trajectories() for name in "ab")
    assert one.failure_counts() == two.failure_counts()
    assert sum(kinds["clash"] for kinds in one.failure_counts().values()) > 0
    for name in ("failed_step", "cause", "potential"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True)
    (limit,) = left.header.clash_limits.values()
    assert limit == pytest.approx(0.99 * distance(data.positions, (1, 2)).min())


def test_limits_are_the_shortest_distances_of_two_elements_without_a_bond():
    data = dataset.load(SAMPLE)
    bonds = initial.find_bonds(data)
    found = find_contacts(data, bonds, 0.85)
    bonded = {tuple(pair) for pair in bonds.pairs.tolist()}
    for name, limit in found.limits.items():
        pairs = [
            (i, j)
            for i, j in itertools.combinations(range(data.num_atoms), 2)
            if (i, j) not in bonded and {data.symbols[i], data.symbols[j]} == set(name.split("-"))
        ]
        shortest = min(distance(data.positions, pair).min() for pair in pairs)
        assert limit == pytest.approx(0.85 * shortest)
        assert all(found.matrix[pair] == found.matrix[pair[::-1]] == limit for pair in pairs)
    assert all(found.matrix[pair] == 0 for pair in bonded) and not np.diag(found.matrix).any()


@pytest.mark.parametrize("path", [SAMPLE, ETHANOL], ids=["sample", "older"])
def test_no_frame_of_the_data_fails_nor_do_frames_that_the_limits_have_not_seen(path):
    data = dataset.load(path)
    bonds, order = initial.find_bonds(data), np.random.default_rng(0).permutation(len(data))
    for seen in (data, data.subset(order[: min(50, len(data) // 2)])):
        limits = find_contacts(seen, bonds, 0.85).matrix
        i, j = np.nonzero(limits)
        assert np.all(distance(data.positions, (i, j)) > limits[i, j])


def test_few_frames_and_a_factor_of_zero_look_for_no_clash():
    data = networks.water()
    bonds = initial.find_bonds(data)
    assert find_contacts(data, bonds, 0.85).limits.keys() == {"H-H"}
    assert not find_contacts(data, bonds, 0.0).limits
    few = data.subset(slice(9))
    assert not find_contacts(few, bonds, 0.85).limits
    settings = MDSettings(replicas=2, steps=5)
    (note,) = [
        one
        for one in list(simulate({"x": networks.checkpoint(0)}, few, settings))[-1].notes
        if "clash" in one
    ]
    assert note.startswith("no clash is looked for: the shortest distances of 9 frames")


def test_a_molecule_of_bonds_alone_has_nothing_to_watch():
    one = Dataset(np.tile([[0.0, 0, 0], [0.74, 0, 0]], (12, 1, 1)), np.zeros(12),
                  np.zeros((12, 2, 3)), np.array([1, 1]))  # fmt: skip
    assert not find_contacts(one, initial.find_bonds(one), 0.85).matrix.any()


@pytest.mark.slow
def test_hot_reference_dynamics_do_not_fail():
    """GFN2-xTB ethanol at 1000 K, against limits from the sample at 500 K."""
    from fisherdash import reference
    from fisherdash.settings import SampleSettings

    data = dataset.load(SAMPLE)
    bonds = initial.find_bonds(data)
    settings = SampleSettings(
        temperature=1000.0, frames=400, interval_fs=2.5, equilibration_ps=0.2, seed=1
    )
    *_, last = reference.sample(reference.molecule("CH3CH2OH"), settings)
    hot = last.dataset
    assert hot.atomic_numbers.tolist() == data.atomic_numbers.tolist()
    limits = find_contacts(data, bonds, 0.85).matrix
    i, j = np.nonzero(limits)
    assert np.all(distance(hot.positions, (i, j)) > limits[i, j])
    assert np.abs(bonds.measure(hot.positions) - bonds.lengths).max() < 0.5
    wide = bonds.measure(hot.positions).std() > bonds.measure(data.positions).std()
    assert wide  # it is hotter, indeed
