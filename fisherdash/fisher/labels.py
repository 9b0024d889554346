"""Labelled frames beside the data: where they come from, what they weigh, and their sums.

A re-fit knows nothing of where the data have not been. Frames there, displaced from data frames or
taken from the dynamics of the head itself, and labelled by the potential that labelled the data,
join the normal equations,

    A ← (M A + Σ_k ω_k G_kᵀG_k)/(M + Σ_k ω_k),   b ← (M b + Σ_k ω_k G_kᵀ∇U_k)/(M + Σ_k ω_k),

    ω_k = 1/(1 + (rms F_k / 2 rms F_data)²),

over M data frames, so that a frame with large forces does not outvote the data. Frames with an atom
that feels more than 100 eV/Å, or that cannot be labelled, are left out and counted. Labels do not
enter the constant of the energy, the Boltzmann test or any error that is reported: these are of the
data. The two halves by which a re-fit judges itself have half of the labels each. The posterior
counts M + Σω frames where it says how sure the head is; the size of its noise and the typical error
bar of a force are those on data frames.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.spatial
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from fisherdash.dataset import Dataset
from fisherdash.dataset.core import CLOSEST_ATOMS
from fisherdash.errors import InputError
from fisherdash.fisher.moments import Equations, derivatives_of, displaced, weight_of
from fisherdash.md import simulate
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.reference import Labeller
from fisherdash.settings import MDSettings, Options
from fisherdash.statistics import evenly_spaced

LARGEST_FORCE = 100.0
"""eV/Å on an atom, above which a frame is left out."""
CHECKED = 8
"""Data frames that the labeller labels too."""
TOLERANCE = 0.01
"""Difference of forces on data frames, over their size, that still is the same potential."""
SAME_FRAME = 1e-3
"""Å by which distances in a frame may differ from those of the data frame that it is."""
MOST_PAIRS = 2000
"""Distances by which frames are told apart: those of all atoms up to 63 of them, some of more."""
_AT_ONCE = 1_000_000
BEFORE_FAILURE = 50.0
"""fs before a failure from which a frame is taken."""
RECORDED = 10.0
"""fs between recorded frames."""
STREAM = 29
"""Of the draw of displaced frames; those of the noise metric are others."""
DATA, DISPLACED, DYNAMICS, FILE = "data", "displaced", "dynamics", "file"


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one round of labelling added.

    Attributes:
        kind: "displaced", "dynamics" or "file".
        frames: that were added.
        failing: of these, frames just before a failure.
        dropped: frames without a label or with forces beyond LARGEST_FORCE.
        weight: mean of ω over the added frames; 0 if there are none.
    """

    kind: str
    frames: int
    failing: int
    dropped: int
    weight: float

    @property
    def sentence(self) -> str:
        """What it added, in plain words."""
        where = {
            DISPLACED: "displaced from data frames",
            DYNAMICS: f"of the head's own dynamics, {self.failing} of them just before a failure",
            FILE: "from the file",
        }[self.kind]
        return (
            f"{self.frames} labelled frames {where}; mean weight {self.weight:.2f}, "
            f"{self.dropped} left out"
        )


class LabelSums(NamedTuple):
    """Σω, Σ ω GᵀG (Å⁻²), Σ ω Gᵀ∇U (eV/Å²) and Σ ω |∇U|² (eV²/Å²) over labelled frames."""

    weight: float
    gram: Any
    gradient: Any
    square: float

    def plus(self, other: "LabelSums") -> "LabelSums":
        """The sums over both sets."""
        return LabelSums(*(one + two for one, two in zip(self, other, strict=True)))


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """Everything that was labelled for a re-fit.

    Attributes:
        labeller: its name.
        known: data frames that were labelled again for comparison, with the new labels.
        frames: the labelled frames; None while there are none.
        batches: what each round added.
        halves: sums over frames of even and of odd number.
    """

    labeller: str
    known: Dataset
    frames: Dataset | None = None
    batches: tuple[Batch, ...] = ()
    halves: tuple[LabelSums, LabelSums] = (LabelSums(0, 0, 0, 0), LabelSums(0, 0, 0, 0))

    def count(self, kind: str) -> int:
        """Number of labelled frames of a kind."""
        return sum(batch.frames for batch in self.batches if batch.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """How many of which kind, by whom, and what each round added."""
        counts = {kind: self.count(kind) for kind in (DISPLACED, DYNAMICS, FILE)}
        rounds = [dataclasses.asdict(batch) for batch in self.batches]
        dropped = sum(batch.dropped for batch in self.batches)
        return counts | {
            "labeller": self.labeller,
            "dropped": dropped,
            "sum_of_weights": float(self.weight),
            "rounds": rounds,
        }

    def also_by(self, labeller: str) -> "Labels":
        """The same, to which another labeller is going to add."""
        names = self.labeller if labeller == self.labeller else f"{self.labeller}, {labeller}"
        return dataclasses.replace(self, labeller=names)

    @property
    def weight(self) -> float:
        """Σω over all labelled frames."""
        return self.halves[0].weight + self.halves[1].weight

    def saved(self) -> Dataset:
        """The labelled frames behind the data frames that say of which potential they are."""
        return self.known if self.frames is None else _together(self.known, self.frames)


def joined(problem: Equations, frames: int, sums: LabelSums) -> Equations:
    """Normal equations of M data frames and the labelled ones, as above."""
    total = frames + sums.weight
    square = problem.square
    return dataclasses.replace(
        problem,
        matrix=(frames * problem.matrix + sums.gram) / total,
        target=(frames * problem.target + sums.gradient) / total,
        square=None if square is None else (frames * square + sums.square) / total,
        rows=round(problem.rows * total / frames),
    )


def begin(data: Dataset, labeller: Labeller, monitor: Monitor = UNWATCHED) -> Labels:
    """Labels without frames, from a potential that agrees with the data on some of their frames.

    Raises:
        InputError: for one of another level of theory, or when cancelled.
    """
    some = data.subset(evenly_spaced(len(data), CHECKED))
    energies, forces = _one_by_one(labeller, data.atomic_numbers, some.positions, monitor.silent)
    if not np.isfinite(forces).all():
        raise InputError(f"{labeller.name} gives no forces for frames of the data")
    again = dataclasses.replace(some, energies=energies, forces=forces)
    _check_same_potential(some, again, labeller.name)
    return Labels(labeller.name, again)


def _check_same_potential(data: Dataset, again: Dataset, name: str) -> None:
    """InputError unless two labels of the same frames have the same forces and energies, but for
    the zero of energy."""
    size = float(np.sqrt(np.mean(data.forces**2)))
    off = float(np.sqrt(np.mean((again.forces - data.forces) ** 2)))
    scale = float(np.sum(again.forces * data.forces) / max(np.sum(data.forces**2), 1e-300))
    away = again.energies - data.energies
    spread = float(np.std(away))
    if off > TOLERANCE * size or spread > TOLERANCE * max(size, float(np.std(data.energies))):
        raise InputError(
            f"{name} is not the potential of the data: on {len(data)} of their frames its forces "
            f"differ by {1e3 * off:.3g} meV/Å rms (the data have {1e3 * size:.4g}), its forces are "
            f"{scale:.4g} times theirs, its energies differ by {away.mean():.4g} ± {spread:.2g} "
            "eV. Labels of another level of theory are not mixed in."
        )


def add(
    labels: Labels,
    kind: str,
    labelled: Dataset | None,
    start: Checkpoint,
    data: Dataset,
    options: Options,
    *,
    asked: int,
    failing: np.ndarray | None = None,
    monitor: Monitor = UNWATCHED,
) -> Labels:
    """The labels with these frames added.

    Args:
        labels: so far.
        kind: of the frames.
        labelled: the frames that could be labelled; None if that is none.
        start: gives the descriptors.
        data: the data frames, whose forces set the scale of the weights.
        options: of the re-fit; their precision is that of the descriptors.
        asked: frames that were to be labelled.
        failing: which of the labelled frames come from just before a failure.
        monitor: stops the pass over the frames.
    """
    fail = np.zeros(0 if labelled is None else len(labelled), bool) if failing is None else failing
    if labelled is not None:
        near = np.linalg.norm(labelled.forces, axis=2).max(axis=1) <= LARGEST_FORCE
        labelled, fail = labelled.subset(np.flatnonzero(near)) if near.any() else None, fail[near]
    if labelled is None:
        return dataclasses.replace(labels, batches=(*labels.batches, Batch(kind, 0, 0, asked, 0.0)))
    weight = weights(labelled.forces, data.forces)
    before = 0 if labels.frames is None else len(labels.frames)
    halves = _sums(start, labelled, weight, before, options, monitor)
    batch = Batch(kind, len(labelled), int(fail.sum()), asked - len(labelled), float(weight.mean()))
    return dataclasses.replace(
        labels,
        frames=labelled if labels.frames is None else _together(labels.frames, labelled),
        batches=(*labels.batches, batch),
        halves=tuple(map(LabelSums.plus, labels.halves, halves)),
    )


def weights(
    forces: Float[np.ndarray, "frames atoms 3"], of_data: Float[np.ndarray, "m atoms 3"]
) -> Float[np.ndarray, " frames"]:
    """ω of every frame, from the root mean square of its force components and of the data's."""
    return weight_of(np.mean(forces**2, axis=(1, 2)), np.mean(of_data**2))


def _one_by_one(
    labeller: Labeller,
    atomic_numbers: np.ndarray,
    positions: Float[np.ndarray, "frames atoms 3"],
    monitor: Monitor = UNWATCHED,
) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames atoms 3"]]:
    """Energies and forces, NaN for frames that cannot be done: a reference may take minutes each.

    Raises:
        InputError: when cancelled.
    """
    energies, forces = np.full(len(positions), np.nan), np.full(positions.shape, np.nan)
    for index in range(len(positions)):
        monitor.stop_if_cancelled("the labelling", f"{index} of {len(positions)} frames")
        at = slice(index, index + 1)
        energies[at], forces[at] = labeller.label(atomic_numbers, positions[at])
        monitor.tell((index + 1) / len(positions))
    return energies, forces


def labelled_by(
    labeller: Labeller,
    atomic_numbers: np.ndarray,
    positions: Float[np.ndarray, "frames atoms 3"],
    *,
    monitor: Monitor = UNWATCHED,
) -> tuple[Dataset | None, np.ndarray]:
    """The frames that can be labelled, None if that is none, and which these are.

    Raises InputError when cancelled.
    """
    energies, forces = _one_by_one(labeller, atomic_numbers, positions, monitor)
    apart = _closest(positions) >= CLOSEST_ATOMS
    sound = apart & np.isfinite(energies) & np.isfinite(forces).all(axis=(1, 2))
    if not sound.any():
        return None, sound
    found = (positions[sound], energies[sound], forces[sound], atomic_numbers)
    return Dataset(*found, source=f"labels by {labeller.name}"), sound


def of_file(data: Dataset, file: Dataset) -> tuple[Labels, Dataset]:
    """Labels without frames, and the frames of a file that are none of the data's.

    Some of the file's frames have to be frames of the data, turned and shifted perhaps: they tell
    whether both are of one potential.

    Raises:
        InputError: for another molecule, no frame in common, none else, or another level of theory.
    """
    name = file.source or "the labels"
    if not np.array_equal(file.atomic_numbers, data.atomic_numbers):
        raise InputError(
            f"the labels are of {file.formula} and the data of {data.formula}, or their atoms are "
            "in another order; they must be the same molecule in the same order"
        )
    pairs = _pairs(data.num_atoms, MOST_PAIRS)
    tree = scipy.spatial.KDTree(_distances(data.positions, *pairs))
    apart, nearest = map(np.asarray, tree.query(_distances(file.positions, *pairs), p=np.inf))
    known = apart < SAME_FRAME
    if not known.any() or known.all():
        what = "none" if not known.any() else "nothing but frames"
        raise InputError(
            f"the labels hold {what} of the data; a file of labels holds some frames of the data, "
            "by which their levels of theory are compared, and new ones ('fisherdash label "
            "--export' writes both)"
        )
    mine, theirs = data.subset(nearest[known]), file.subset(np.flatnonzero(known))
    turned = [
        _turned(f, there, here)
        for f, there, here in zip(theirs.forces, theirs.positions, mine.positions, strict=True)
    ]
    again = dataclasses.replace(mine, energies=theirs.energies, forces=np.array(turned))
    _check_same_potential(mine, again, name)
    return Labels(name, again), file.subset(np.flatnonzero(~known))


def own_dynamics(
    model: Checkpoint,
    data: Dataset,
    options: Options,
    number: int,
    *,
    monitor: Monitor = UNWATCHED,
) -> tuple[Float[np.ndarray, "frames atoms 3"], np.ndarray]:
    """A frame of each replica of a model's own dynamics, and which come from before a failure.

    Replicas that fail give a frame of their last BEFORE_FAILURE fs, the others one of a random
    moment. ``number`` is that of the round: each has initial states of its own. Raises InputError
    when cancelled.
    """
    timestep = options.stability.timestep
    every = max(1, round(RECORDED / timestep))
    plan = MDSettings(
        replicas=options.label_dynamics,
        steps=max(every, round(1e3 * options.label_picoseconds / timestep)),
        timestep=timestep,
        temperature=options.label_temperature,
        seed=options.seed + 7919 * (number + 1),
        record_every=every,
    )
    chunks = []
    for chunk in simulate({"labels": model}, data, plan, cancel=monitor.cancel):
        chunks.append(chunk)
        monitor.tell(max(chunk.step, 0) / plan.steps)
    monitor.stop_if_cancelled("the labelling")
    recorded = np.concatenate(
        [chunk.positions[0] for chunk in chunks if chunk.positions is not None], axis=1
    )
    failed = np.asarray(chunks[-1].failed_step).flatten()
    rng = np.random.default_rng([options.seed, 31, number])
    last = np.where(failed < 0, recorded.shape[1] - 1, np.maximum(failed - 1, 0) // every)
    back = np.where(failed < 0, last - 1, round(BEFORE_FAILURE / (every * timestep)) - 1)
    chosen = rng.integers(np.maximum(last - back, 0), last + 1)
    return recorded[np.arange(len(chosen)), chosen].astype(np.float64), failed >= 0


def frames_to_label(
    model: Checkpoint,
    data: Dataset,
    options: Options,
    *,
    monitor: Monitor = UNWATCHED,
) -> dict[str, Float[np.ndarray, "frames atoms 3"]]:
    """Frames by kind, to be labelled elsewhere: some of the data, displaced ones, own dynamics.

    ``model`` is the head whose dynamics are run. Raises InputError when cancelled.
    """
    found = {DATA: data.positions[evenly_spaced(len(data), CHECKED)]}
    if options.label_displaced:
        found[DISPLACED] = displaced(data.positions, options, options.label_displaced, STREAM)
    if options.label_dynamics:
        found[DYNAMICS], _ = own_dynamics(model, data, options, 0, monitor=monitor)
    return {kind: x[_closest(x) >= CLOSEST_ATOMS] for kind, x in found.items()}


def _sums(
    start: Checkpoint,
    labelled: Dataset,
    weight: Float[np.ndarray, " frames"],
    before: int,
    options: Options,
    monitor: Monitor,
) -> tuple[LabelSums, LabelSums]:
    """Sums over frames of even and of odd number; ``before`` is the number of the first."""
    halves = [LabelSums(0, 0, 0, 0), LabelSums(0, 0, 0, 0)]
    blocks = derivatives_of(
        start,
        labelled.atomic_numbers,
        labelled.positions,
        precision=options.precision,
        monitor=monitor.silent,
    )
    for first, found in blocks:
        rows = np.arange(first, first + len(found.values))
        u = -labelled.forces[rows].reshape(len(rows), -1)
        if found.fixed is not None:
            u = u - found.fixed.gradient
        for half in (0, 1):
            mine = (rows + before) % 2 == half
            w = weight[rows[mine]]
            g = (np.sqrt(w)[:, None, None] * found.jacobian[mine]).reshape(
                -1, found.jacobian.shape[-1]
            )
            v = (np.sqrt(w)[:, None] * u[mine]).ravel()
            part = LabelSums(float(w.sum()), g.T @ g, v @ g, float(v @ v))
            halves[half] = halves[half].plus(part)
    return halves[0], halves[1]


def _together(one: Dataset, other: Dataset) -> Dataset:
    return dataclasses.replace(
        one,
        positions=np.concatenate([one.positions, other.positions]),
        energies=np.concatenate([one.energies, other.energies]),
        forces=np.concatenate([one.forces, other.forces]),
        temperature=None,
        source=other.source,
        notes=(),
    )


def _pairs(atoms: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of atoms i < j, or as many evenly spaced ones."""
    i, j = np.triu_indices(atoms, 1)
    chosen = evenly_spaced(len(i), most)
    return i[chosen], j[chosen]


def _distances(
    positions: Float[np.ndarray, "frames atoms 3"], i: np.ndarray, j: np.ndarray
) -> Float[np.ndarray, "frames pairs"]:
    found, block = np.empty((len(positions), len(i))), max(1, _AT_ONCE // len(i))
    for first in range(0, len(positions), block):
        x = positions[first : first + block]
        found[first : first + block] = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
    return found


def _closest(positions: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, " frames"]:
    """The shortest distance in each frame."""
    i, j = np.triu_indices(positions.shape[1], 1)
    block = max(1, _AT_ONCE // len(i))
    parts = range(0, len(positions), block)
    found = [_distances(positions[first : first + block], i, j).min(axis=1) for first in parts]
    return np.concatenate([np.zeros(0), *found])


def _turned(forces: np.ndarray, there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Forces in the orientation of another copy of their frame."""
    found = Rotation.align_vectors(here - here.mean(axis=0), there - there.mean(axis=0))
    return found[0].apply(np.array(forces))


def sentences(labels: Labels) -> Sequence[str]:
    """What was labelled by whom, and what each round added."""
    return [f"Labelled by {labels.labeller}: {batch.sentence}." for batch in labels.batches]
