"""Labels beside the data: weights, sums, planted heads, one potential only, own dynamics."""

import dataclasses
import itertools
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

from fisherdash import dataset, fisher
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher import labels
from fisherdash.fisher.solve import with_file, with_labels
from fisherdash.monitor import Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm
from fisherdash.reference import Labeller
from fisherdash.settings import Options
from tests.randomised import planted_dataset, random_checkpoint

RNG = np.random.default_rng
WIDE = {"precision": "float64", "test_boltzmann": False, "noise_frames": 64}
TURN = Rotation.from_rotvec([0.3, -1.0, 2.0])


@pytest.fixture(scope="module")
def truth() -> Checkpoint:
    """A head by element and quadratic, which is to be found."""
    shared = random_checkpoint()
    start = shared.in_form(HeadForm("quadratic", (1, 6, 8)))
    head = start.head + 0.1 * RNG(2).normal(size=start.head.shape)
    return start.with_head(head, start.element_bias, "truth", {})


@pytest.fixture(scope="module")
def data(truth: Checkpoint) -> Dataset:
    """Few frames: they do not determine the head."""
    return planted_dataset(truth, 14)


def by(model: Checkpoint, scale: float = 1.0, shift: float = 0.0) -> Labeller:
    """A labeller that is a checkpoint, its forces scaled and shifted."""

    def label(numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        zeros = np.zeros(len(positions)), np.zeros(positions.shape)
        energies, forces = predict(model, Dataset(positions, *zeros, numbers))
        return energies, scale * forces + shift

    return Labeller("the truth", label)


def test_weights_by_hand() -> None:
    of_data = np.full((5, 2, 3), 2.0)
    forces = np.stack([np.zeros((2, 3)), np.full((2, 3), 4.0), np.full((2, 3), -12.0)])
    np.testing.assert_allclose(labels.weights(forces, of_data), [1, 1 / 2, 1 / 10])


def test_labels_join_the_equations_as_more_data_would(truth, data) -> None:
    options = Options(**WIDE)
    ready = fisher.prepare(random_checkpoint(), data, options)
    more = planted_dataset(truth, 6, seed=9)
    weight = labels.weights(more.forces, ready.division.fit.forces)
    found = labels.begin(ready.division.fit, by(truth))
    found = labels.add(
        found, "file", more, ready.start, ready.division.fit, options, asked=len(more)
    )
    whole = dataclasses.replace(ready, labels=found)
    # One frame at a time, each as a data set of its own.
    each = [
        fisher.accumulate(ready.start, more.subset(np.array([k])), precision="float64")[0]
        for k in range(6)
    ]
    frames = ready.fit.frames
    gram = ready.fit.gram + sum(w * one.gram for w, one in zip(weight, each, strict=True))
    slope = ready.fit.gradient + sum(w * one.gradient for w, one in zip(weight, each, strict=True))
    total = frames + weight.sum()
    np.testing.assert_allclose(whole.problem.matrix, gram / total, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(whole.problem.target, slope / total, rtol=1e-9, atol=1e-12)
    halves = [half.weight for half in found.halves]
    np.testing.assert_allclose(halves, [weight[::2].sum(), weight[1::2].sum()])
    assert whole.fit.constant(whole.start.head) == ready.fit.constant(ready.start.head)


def test_labels_find_what_the_data_do_not_tell(truth, data) -> None:
    start = random_checkpoint()
    options = Options(**WIDE, ridge=1e-9, label_displaced=60, noise_high=0.1)
    there = planted_dataset(truth, 40, seed=21)
    without = fisher.solve(start, data, dataclasses.replace(options, label_displaced=0))
    refit = fisher.solve(start, data, options, labeller=by(truth))
    errors = [
        float(np.sqrt(np.mean((predict(one.checkpoint, there)[1] - there.forces) ** 2)))
        for one in (without, refit)
    ]
    assert errors[1] < 0.2 * errors[0]
    made = refit.prepared.labels
    assert made is not None and made.count("displaced") == len(made.frames) > 40
    assert fisher.summary(refit)["labels"] == {"displaced": made.count("displaced"), "dynamics": 0}
    assert refit.checkpoint.provenance["labels"]["labeller"] == "the truth"
    own = refit.report_head
    assert own is not None and "labels" not in own.checkpoint.provenance


def test_another_potential_is_refused_with_the_figures(truth, data) -> None:
    start, options = random_checkpoint(), Options(**WIDE, label_displaced=4)
    for labeller in (by(truth, scale=1.02), by(truth, shift=0.05 * data.forces.std())):
        with pytest.raises(InputError, match=r"is not the potential of the data.*meV/Å rms"):
            fisher.solve(start, data, options, labeller=labeller)
    with pytest.raises(InputError, match="is not the potential of the data"):
        labels.begin(data, by(truth, scale=-1.0))
    labels.begin(data, by(truth, scale=1.001))


def test_wild_frames_are_left_out_and_counted(truth, data) -> None:
    calls = itertools.count()

    def wild(numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies, forces = by(truth).label(numbers, positions)
        number = next(calls) - labels.CHECKED  # of the frame, after those of the data
        if number == 0:
            forces[0, 0, 0] = 101.0
        if number == 1:
            forces[0] = np.nan
        return energies, forces

    ready = fisher.prepare(random_checkpoint(), data, Options(**WIDE, label_displaced=12))
    found = with_labels(ready, Labeller("wild", wild)).labels
    assert found is not None
    (batch,) = found.batches
    assert (batch.frames, batch.dropped) == (10, 2)
    assert "10 labelled frames displaced from data frames" in labels.sentences(found)[0]


@pytest.mark.slow
def test_own_dynamics_give_frames_from_before_failures_in_rounds(truth, data) -> None:
    options = Options(
        **WIDE,
        ridge=1.0,
        label_dynamics=4,
        label_rounds=2,
        label_picoseconds=0.05,
        label_temperature=30000.0,
    )
    ready = fisher.prepare(random_checkpoint(), data, options)
    x, failing = labels.own_dynamics(ready.start, ready.division.fit, options, 0)
    assert x.shape == (4, *data.positions.shape[1:]) and failing.any()
    again, _ = labels.own_dynamics(ready.start, ready.division.fit, options, 0)
    np.testing.assert_array_equal(x, again)
    other, _ = labels.own_dynamics(ready.start, ready.division.fit, options, 1)
    assert not np.array_equal(x, other), "each round has states of its own"
    found = with_labels(ready, by(truth)).labels
    assert found is not None and [batch.kind for batch in found.batches] == ["dynamics"] * 2
    assert sum(batch.failing for batch in found.batches) > 0
    assert all(batch.frames + batch.dropped == 4 for batch in found.batches)


@pytest.mark.parametrize("seed", range(5))
def test_a_frame_is_from_the_last_50_fs_before_a_failure(data, monkeypatch, truth, seed) -> None:
    failed = np.array([-1, 101, 15, 200, -1])  # steps of 0.5 fs; a frame every 20 of them
    times = np.broadcast_to(10.0 * np.arange(11)[:, None, None], (5, 11, 9, 3))
    chunk = SimpleNamespace(step=200, positions=times[None], failed_step=failed[None])
    monkeypatch.setattr(labels, "simulate", lambda *args, **more: iter([chunk]))
    options = Options(label_dynamics=5, label_picoseconds=0.1, seed=seed)
    x, failing = labels.own_dynamics(truth, data, options, 0)
    taken, end = x[:, 0, 0], 0.5 * failed
    np.testing.assert_array_equal(failing, [False, True, True, True, False])
    assert (taken[failing] < end[failing]).all()
    assert (taken[failing] >= np.maximum(end[failing] - labels.BEFORE_FAILURE, 0.0)).all()
    assert (taken[~failing] > 0).all(), "the start is a frame of the data"


def test_frames_labelled_elsewhere_give_the_same_head(truth, data, tmp_path, monkeypatch) -> None:
    start, options = random_checkpoint(), Options(**WIDE, ridge=0.01, label_displaced=12)
    direct = fisher.solve(start, data, options, labeller=by(truth))
    found = labels.frames_to_label(start, direct.prepared.division.fit, options)
    dataset.write_unlabelled(found, data.atomic_numbers, tmp_path / "frames.xyz")
    frames = ase.io.read(tmp_path / "frames.xyz", ":")
    assert {atoms.info["kind"] for atoms in frames} == {"data", "displaced"}
    for atoms in frames:
        atoms.positions = TURN.apply(atoms.positions) + 1.0  # as programs do
        energies, forces = by(truth).label(atoms.numbers, atoms.positions[None])
        atoms.calc = SinglePointCalculator(atoms, energy=energies[0], forces=forces[0])
    ase.io.write(tmp_path / "labels.xyz", frames, format="extxyz")
    file = dataset.load(tmp_path / "labels.xyz", units="eV", force_units="eV/Å")
    plain = dataclasses.replace(options, label_displaced=0)
    read = fisher.solve(start, data, plain, labelled=file)
    # Eight digits of positions and forces in the file.
    np.testing.assert_allclose(read.checkpoint.head, direct.checkpoint.head, rtol=1e-3, atol=1e-4)
    assert fisher.summary(read)["labels"] == {"displaced": 0, "dynamics": 0}
    assert fisher.summary(read)["labelled"]["file"] == 12
    made = direct.prepared.labels
    assert made is not None
    dataset.save(made.saved(), tmp_path / "kept.npz")
    again = fisher.solve(start, data, plain, labelled=dataset.load(tmp_path / "kept.npz"))
    np.testing.assert_allclose(again.checkpoint.head, direct.checkpoint.head, rtol=1e-9)


def test_files_that_cannot_be_used_are_refused(truth, data) -> None:
    ready = fisher.prepare(random_checkpoint(), data, Options(**WIDE))
    with pytest.raises(InputError, match="nothing but frames of the data"):
        with_file(ready, data)
    with pytest.raises(InputError, match="hold none of the data"):
        with_file(ready, planted_dataset(truth, 5, seed=4))
    turned = dataclasses.replace(data, atomic_numbers=data.atomic_numbers[::-1].copy())
    with pytest.raises(InputError, match="same molecule in the same order"):
        with_file(ready, turned)


def test_labelling_can_be_cancelled(truth, data) -> None:
    ready = fisher.prepare(random_checkpoint(), data, Options(**WIDE, label_displaced=4))
    cancel, done = threading.Event(), itertools.count(1)

    def stopping(numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if next(done) == labels.CHECKED + 2:
            cancel.set()
        return by(truth).label(numbers, positions)

    with pytest.raises(InputError, match="cancelled after 2 of 4 frames"):
        with_labels(ready, Labeller("slow", stopping), monitor=Monitor(cancel))
    with pytest.raises(InputError, match="cancelled"):
        with_labels(ready, by(truth), monitor=Monitor(cancel))
    with pytest.raises(InputError, match="labels are forces"):
        Options(method="laplacian", label_displaced=1)


def test_labels_of_a_file_need_a_method_that_sees_forces(truth, data) -> None:
    with pytest.raises(InputError, match="labels are forces"):
        fisher.solve(truth, data, Options(method="kl"), labelled=data)


def test_a_labeller_beside_a_file_is_compared_too(truth, data) -> None:
    more = planted_dataset(truth, 6, seed=9)
    file = dataclasses.replace(
        data,
        positions=np.concatenate([data.positions, more.positions]),
        energies=np.concatenate([data.energies, more.energies]),
        forces=np.concatenate([data.forces, more.forces]),
    )
    ready = with_file(fisher.prepare(truth, data, Options(**WIDE, label_displaced=4)), file)
    with pytest.raises(InputError, match="is not the potential of the data"):
        with_labels(ready, by(truth, scale=1.02))
    both = with_labels(ready, by(truth)).labels
    assert both is not None and [batch.kind for batch in both.batches] == ["file", "displaced"]
    assert both.labeller.endswith(", the truth")


def test_error_bars_count_the_labels_as_data(truth, data) -> None:
    """Labels by weight are so many more frames: the covariance falls by M/(M + Σω)."""
    ready = fisher.prepare(random_checkpoint(), data, Options(**WIDE))
    plain = fisher.posterior(ready.fit, ready.problem, ready.halves, 0.1, ready.start.head)
    more = fisher.posterior(
        ready.fit, ready.problem, ready.halves, 0.1, ready.start.head, float(ready.fit.frames)
    )
    one = plain.covariance / plain.scale**2
    two = more.covariance / more.scale**2
    rows = ready.fit.frames * ready.fit.components
    taken = ready.problem.spectrum.effective_dof(0.1)
    noise = (rows - taken) / (rows - taken / 2)  # half of the directions are the labels'
    np.testing.assert_allclose(two, one * noise / 2, rtol=1e-9)
    assert more.half_difference == plain.half_difference, "which is measured on the data"


def test_labels_that_cannot_be_used_are_refused_before_the_long_pass(data, monkeypatch) -> None:
    module = sys.modules[with_file.__module__]
    monkeypatch.setattr(module, "prepare", lambda *_, **__: pytest.fail("a pass"))
    with pytest.raises(InputError, match="nothing but frames of the data"):
        fisher.solve(random_checkpoint(), data, Options(**WIDE), labelled=data)


def test_frames_of_large_molecules_are_found_again_in_little_memory() -> None:
    """All distances of all atoms of these frames together would take a gigabyte."""
    rng = np.random.default_rng(0)
    grid = 2.0 * np.stack(np.meshgrid(*3 * [np.arange(8.0)]), axis=-1).reshape(-1, 3)
    x = grid + 0.05 * rng.standard_normal((100, len(grid), 3))
    forces = rng.standard_normal(x.shape)
    whole = Dataset(x, rng.standard_normal(100), forces, np.full(len(grid), 6))
    turn = Rotation.random(random_state=1).as_matrix()
    known, other = whole.subset(slice(10, 15)), whole.subset(slice(50, 90))
    file = dataclasses.replace(
        whole,
        positions=np.concatenate([known.positions @ turn.T + 3.0, other.positions]),
        energies=np.concatenate([known.energies, other.energies]),
        forces=np.concatenate([known.forces @ turn.T, other.forces]),
    )
    tracemalloc.start()
    try:
        found, new = labels.of_file(whole.subset(slice(0, 50)), file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e8
    assert len(found.known) == 5 and np.array_equal(new.energies, other.energies)
    np.testing.assert_allclose(found.known.forces, known.forces, atol=1e-9)
