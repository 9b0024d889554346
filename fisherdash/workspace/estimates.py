"""What a job will take, before it starts: time, memory and disk.

Each kind of work has a rule here, which takes numbers and knows no library of the science. Time is
first told in seconds *by the rule*: rates below that two busy cores surpass. The log of jobs keeps
how many of these seconds a job of each kind does in one; once
jobs of a kind have run here, their median is this machine's speed, and the time follows it.

The rules:

* An evaluation of energy and forces takes time with atoms × parameters of the network × neighbours
  (at least 8 of them), :data:`EVALUATED` of these a second; a step of training costs three. Memory
  grows with what is evaluated at once: atoms × features × (neighbours + 9 a round of messages).
* Some networks have numbers for every pair or every triple of atoms, however far apart:
  :data:`DENSE` of these a second, and the memory of one frame's.
* GFN2-xTB takes :data:`XTB_SECONDS` an atom and step, from twenty atoms on with their third power.
* A re-fit evaluates every frame once for each feature or each direction of its atoms, whichever are
  fewer, and more for Laplacians; its memory holds a few matrices of the head's weights.
* A frame takes 16 bytes and 24 for each atom and array on disk; as text some 100 for each atom.
* Everything takes :data:`START` first: libraries load, programs compile.

The log of jobs has a JSON line when one starts and one when it ends. The lines say what kind of
work it was, how large, on what, how long, how fast and how it ended. Nothing that a user typed or
uploaded is in them: no names, no titles, no paths, no messages of errors. The file is
``logs/jobs.jsonl`` of the workspace that everybody shares; it is rotated, and all of it together
never grows beyond :data:`MAX_BYTES` × (:data:`BACKUPS` + 1).
"""

import contextlib
import dataclasses
import datetime
import fcntl
import functools
import json
import logging
import logging.handlers
import math
import os
import statistics
from pathlib import Path
from typing import Any

import fisherdash
from fisherdash.settings import (
    LandscapeSettings,
    MDSettings,
    ModelConfig,
    Options,
    SampleSettings,
    TrainSettings,
    most_directions,
)
from fisherdash.text import duration, in_bytes
from fisherdash.workspace import paths

START = 20.0
"""Seconds until a job has loaded its libraries and compiled its programs."""
BASE = 500_000_000
"""Bytes of memory that libraries and compiled programs take."""
EVALUATED = 1.5e8
"""Atoms × parameters × (neighbours / 8) that are evaluated in a second."""
DENSE = 1e7
"""Numbers of pairs or triples of atoms that are evaluated in a second."""
XTB_SECONDS = 0.003

_FEW_NEIGHBOURS = 8
_DENSITY = 0.1  # atoms/Å³ of molecules
_SPHERE = 4.19
_DOUBLE = 8
_COPIES = 10 * 4  # bytes of ten numbers: an array with its slopes and what goes into it
_TOGETHER = 64  # frames whose errors are evaluated together, or as long as so many
_GROUPS = 25  # of consecutive frames, whose sums a re-fit keeps, in at most
_MATRICES = 400 * 2**20
_PAGE = 10e6  # bytes of the libraries in a report
_HEAD_OF_FRAME, _LINE = 300.0, 100.0  # bytes of text of a frame, and of each of its atoms
_SETTLED = 5
"""So many of the latest measured speeds are looked at."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        kind: of the job.
        work: seconds by the rule, without the start.
        memory: bytes at most at one time.
        disk: bytes that it writes and that stay.
        steps: heads × replicas × steps of its dynamics, 0 without any.
        frames: of each trajectory that are kept, 0 without any.
    """

    kind: str
    work: float
    memory: float = BASE
    disk: float = 0.0
    steps: float = 0.0
    frames: int = 0

    @property
    def measured(self) -> bool:
        """Whether jobs of this kind have run here, so that their speed is known."""
        return bool(paces(self.kind))

    @property
    def seconds(self) -> float:
        """Seconds at the speed that was measured here last, or by the rule."""
        known = paces(self.kind)[-_SETTLED:]
        return START + self.work / (statistics.median(known) if known else 1.0)

    def part(self, share: float) -> "Estimate":
        """What is left of the same work when a share (0 to 1) of it is to be done."""
        less = {name: getattr(self, name) * share for name in ("work", "disk", "steps")}
        return dataclasses.replace(self, **less)

    def together(self, kind: str, *others: "Estimate") -> "Estimate":
        """This and others one after the other, as one job of that kind."""
        every = (self, *others)
        return Estimate(
            kind,
            work=sum(one.work for one in every),
            memory=max(one.memory for one in every),
            disk=sum(one.disk for one in every),
            steps=sum(one.steps for one in every),
        )

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        how = "at the speed of the last ones here" if self.measured else "by a careful rule"
        parts = [f"About {duration(self.seconds)} {how}", f"{in_bytes(self.memory)} of memory"]
        if self.frames:
            parts.append(
                f"{self.frames:,} frames of each trajectory, about {in_bytes(self.disk)} on disk"
            )
        elif self.disk:
            parts.append(f"{in_bytes(self.disk)} on disk")
        return ", ".join(parts) + "."


@dataclasses.dataclass(frozen=True)
class Network:
    """What the rules need to know of a network."""

    parameters: int
    features: int
    cutoff: float
    rounds: int = 3
    calculated: bool = False
    pair_numbers: int = 0  # of every pair of atoms, where all have some
    triple_numbers: int = 0

    @classmethod
    def of(cls, model: Any) -> "Network":
        """Of a :class:`~fisherdash.potentials.checkpoint.Checkpoint`."""
        potential = model.potential
        rounds = int(getattr(potential, "iterations", cls.rounds))
        parameters = model.num_parameters
        if not model.body:  # another library has the weights
            parameters += model.provenance.get("parameters") or 0
        # An atom goes through the network of its own element alone, if every element has one.
        parameters //= len(getattr(potential, "species", "-"))
        return cls(
            parameters,
            potential.num_features,
            float(potential.cutoff),
            rounds,
            hasattr(potential, "calculator"),
            getattr(potential, "numbers_of_a_pair", 0),
            getattr(potential, "numbers_of_a_triple", 0),
        )

    @classmethod
    def planned(cls, config: ModelConfig) -> "Network":
        """Of a network that is to be trained; its parameters by a rule of their own."""
        size, degrees = config.features, (config.max_degree + 1) ** 2
        parameters = config.iterations * degrees * (size * size + size * config.basis)
        return cls(parameters + 118 * size, size, config.cutoff, config.iterations)

    def neighbours(self, atoms: int) -> float:
        """Atoms within the cutoff of one, in a molecule of so many."""
        return min(atoms - 1.0, _SPHERE * _DENSITY * self.cutoff**3)

    def seconds(self, atoms: int) -> float:
        """Of one evaluation of energy and forces; a calculator is taken to be GFN2-xTB."""
        if self.calculated:
            return _xtb(atoms)
        pairs = max(1.0, self.neighbours(atoms) / _FEW_NEIGHBOURS)
        return atoms * self.parameters * pairs / EVALUATED + self.dense(atoms) / DENSE

    def dense(self, atoms: int) -> float:
        """Numbers of all pairs and triples of atoms, of one molecule."""
        triples = atoms * atoms * (atoms - 1) / 2
        return self.pair_numbers * float(atoms) ** 2 + self.triple_numbers * triples

    def memory(self, atoms: int) -> float:
        """Bytes while one molecule is evaluated, among others."""
        return 64.0 * atoms * self.features * (self.neighbours(atoms) + 9 * self.rounds)


def _one_frame(networks: list[Network], atoms: int) -> float:
    """Bytes of the numbers of all pairs and triples, of which no more than a frame's are there."""
    return _COPIES * max(network.dense(atoms) for network in networks)


def frames_on_disk(frames: float, atoms: int, arrays: int = 2) -> float:
    """Bytes of frames with so many arrays of vectors (positions, forces, …) in double precision."""
    return frames * (16 + arrays * atoms * 3 * _DOUBLE)


def sample(atoms: int, settings: SampleSettings) -> Estimate:
    """A Boltzmann sample with GFN2-xTB; the file is rewritten beside the one it replaces."""
    steps = (settings.before + settings.frames) * settings.steps
    size = frames_on_disk(settings.frames, atoms)
    return Estimate("sample", steps * _xtb(atoms), BASE + 3 * size, 2 * size)


def train(
    atoms: int, learn: int, choose: int, config: ModelConfig, settings: TrainSettings
) -> Estimate:
    """A training: each epoch goes through ``learn`` frames, and evaluates ``choose`` ones."""
    network = Network.planned(config)
    uphill = 2 if settings.sharpness_radius else 1
    frames = settings.epochs * (3 * uphill * learn + choose)
    data, weights = frames_on_disk(learn + choose, atoms), 4 * network.parameters
    batch = min(settings.batch_size, learn) * 3 * network.memory(atoms)
    kept = data + 12 * weights + 200.0 * settings.epochs  # the state, two networks, the history
    memory = BASE + batch + 2 * data + 12 * weights
    return Estimate("train", frames * network.seconds(atoms), memory, kept)


def refit(network: Network, atoms: int, frames: int, elements: int, options: Options) -> Estimate:
    """A re-fit of the last layer, with the dynamics and labels that its options ask for."""
    one, features = network.seconds(atoms), network.features
    noise = options.noise_frames if options.noisy else 0
    directions = min(options.probes or 3 * atoms, 3 * atoms) if options.laplacians else 0
    work = one * min(features, 3 * atoms) * (frames + noise) + 4 * one * directions * frames
    weights = features * (1 if options.head == "shared" else elements)
    if options.head == "quadratic":
        reduced = options.reduce or most_directions(elements, features)
        weights = elements * (features + reduced * (reduced + 1) // 2)
    work += 20 * weights**3 / 1e9
    matrices = min(_GROUPS * _DOUBLE * weights**2, _MATRICES) + 6 * _DOUBLE * weights**2
    memory = BASE + matrices + 64 * network.memory(atoms) + _one_frame([network], atoms)
    memory += 3 * frames_on_disk(frames, atoms) + 32 * weights * 3 * atoms * _DOUBLE
    check = options.stability
    if options.ridge == "stable":
        runs = 2 * (check.points + 1) * check.replicas
        work += runs * check.steps * one
        memory += (check.points + 1) * check.replicas * network.memory(atoms)
    if options.method == "kl":
        work += 100 * frames * one
    work += _labels(network, atoms, options)
    disk = 4 * network.parameters + _DOUBLE * weights * min(weights, 512)
    return Estimate("refit", work, memory, 2 * disk)


def label(network: Network, atoms: int, options: Options) -> Estimate:
    """Frames to be labelled elsewhere: the dynamics that find them, and their text."""
    frames = options.label_displaced + options.label_dynamics
    work = frames * network.seconds(atoms) + _dynamics_of_labels(network, atoms, options)
    memory = BASE + max(1, options.label_dynamics) * network.memory(atoms)
    memory += _one_frame([network], atoms)
    return Estimate("label", work, memory, 60.0 * atoms * frames)


def simulate(networks: list[Network], atoms: int, settings: MDSettings) -> Estimate:
    """Dynamics of several heads; frames hold positions and velocities in single precision."""
    kept = -(-settings.steps // settings.record_every) + 1
    runs = len(networks) * settings.replicas
    slow = 3 if settings.precision == "float64" else 1
    one = sum(network.seconds(atoms) for network in networks) * settings.replicas * slow
    disk = kept * runs * (atoms * 3 * 2 * 4 + 2 * _DOUBLE)
    chunk = min(kept, settings.chunk) / kept
    memory = BASE + settings.replicas * slow * sum(one.memory(atoms) for one in networks)
    disk += sum(4 * one.parameters for one in networks)
    memory += _one_frame(networks, atoms)
    # What a page reads of a run are energies; a chunk is held twice while it is written.
    memory += 2 * chunk * disk + kept * runs * 4 * _DOUBLE
    steps = float(runs) * settings.steps
    return Estimate("simulate", one * settings.steps, memory, disk, steps, kept)


def evaluate(networks: list[Network], atoms: int, frames: int) -> Estimate:
    """Errors of several models on the same frames."""
    whole = -(-frames // _TOGETHER) * _TOGETHER
    work = whole * sum(network.seconds(atoms) for network in networks)
    memory = BASE + (2 + len(networks)) * frames_on_disk(frames, atoms)
    memory += max(network.memory(atoms) for network in networks) + _one_frame(networks, atoms)
    return Estimate("evaluate", work, memory)


def landscape(
    networks: list[Network], atoms: int, frames: int, settings: LandscapeSettings
) -> Estimate:
    """The loss around several models: a plane of points, and some twenty for sharpness and cut."""
    points = (settings.points**2 if settings.surfaces else 0) + 20
    used = min(frames, settings.frames)
    work = points * used * sum(network.seconds(atoms) for network in networks)
    memory = BASE + used * max(network.memory(atoms) for network in networks)
    memory += _one_frame(networks, atoms)
    return Estimate("landscape", work, memory, _DOUBLE * 4.0 * points * len(networks))


def reading(size: int) -> Estimate:
    """Taking in a file of so many bytes, somebody's frames or another program's model.

    A reader unpacks at most what :mod:`fisherdash.dataset.archives` allows, ten times the size.
    """
    return Estimate("import", 10 * size / 1e6, BASE + 12.0 * size, 2.0 * size)


def writing_back(size: int) -> Estimate:
    """A head into a copy of another program's file of so many bytes, which is read twice."""
    taken = reading(size)
    return Estimate("export", 3 * taken.work, BASE + 30.0 * size, taken.disk)


def exported(frames: int, atoms: int, trajectories: int, shown: int) -> Estimate:
    """What is taken away from a run: frames of some trajectories as text, and the libraries of
    charts that a report holds."""
    disk = _PAGE + 1.0 * frames * shown * (_HEAD_OF_FRAME + _LINE * atoms)
    # Energies of all are read, and what a report shows is one text.
    memory = BASE + 8.0 * _DOUBLE * frames * trajectories + 3 * disk
    return Estimate("export", disk / 5e6 + frames * trajectories / 1e6, memory, disk)


def run_statistics(heads: int, replicas: int, frames: int) -> Estimate:
    """What a page says of a run: slopes, and intervals that draw its replicas 2,000 times."""
    values = float(heads) * replicas * frames
    work = 2e-4 * heads * replicas + 1e-7 * values
    return Estimate("page", work, BASE + 60.0 * values)


def table(rows: int, columns: int) -> Estimate:
    """A table as text, its cells made one by one."""
    cells = float(rows) * columns
    return Estimate("page", 3e-6 * cells, BASE + 150.0 * cells, 20.0 * cells)


def study_statistics(comparisons: int, models: int, trajectories: int) -> Estimate:
    """What a page says of a study, whose intervals draw models, then their replicas.

    Args: comparisons: heads × conditions.
    """
    work = comparisons * (0.1 + 1e-3 * models) + 2e-5 * trajectories
    return Estimate("page", work, BASE + 1e3 * trajectories)


def judged(heads: int, replicas: int, atoms: int) -> Estimate:
    """Energies of the survivors' last frames, some of each head, by the reference potential."""
    return Estimate(
        "judge", heads * min(replicas, 32) * _xtb(atoms), disk=1e3 + 8.0 * heads * replicas
    )


def benchmarks(number: int) -> Estimate:
    """So many races of ours against a peer, each some rounds of seconds, and a chart of them."""
    return Estimate("bench", 60.0 * number, 4 * BASE, 1e6)


def _xtb(atoms: int) -> float:
    """Seconds of one energy with forces by GFN2-xTB."""
    return XTB_SECONDS * atoms * max(1.0, atoms / 20) ** 2


def _labels(network: Network, atoms: int, options: Options) -> float:
    frames = options.label_displaced + options.label_rounds * options.label_dynamics
    return frames * _xtb(atoms) + options.label_rounds * _dynamics_of_labels(
        network, atoms, options
    )


def _dynamics_of_labels(network: Network, atoms: int, options: Options) -> float:
    steps = 1000 * options.label_picoseconds / options.stability.timestep
    return options.label_dynamics * steps * network.seconds(atoms)


LOG = "jobs.jsonl"
MAX_BYTES = 1_000_000
BACKUPS = 4


def log_path() -> Path:
    """Where the log is; it may not exist yet."""
    return paths.everybodys() / "logs" / LOG


def log_job(event: str, **facts: Any) -> None:
    """Add one line; errors of the disk are ignored.

    Args:
      event: "start" or "end".
      facts: JSON-able; those that are None or empty are left out.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = {"time": now, "event": event, "pid": os.getpid(), "version": fisherdash.__version__}
    line |= {name: fact for name, fact in facts.items() if fact not in (None, "", {})}
    with contextlib.suppress(OSError):
        log_path().parent.mkdir(parents=True, exist_ok=True)
        # Opened for each line and under a lock: several programs write, and any may rotate.
        with log_path().with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            handler = _Quiet(log_path(), maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
            handler.emit(logging.makeLogRecord({"msg": json.dumps(line)}))
            handler.close()


def paces(kind: str) -> list[float]:
    """How many seconds by the rule each job of a kind has done in one, the oldest first.

    Only jobs that worked for a while are in it; [] where none has, or the log cannot be read.
    """
    return _paces(log_path(), _stamp(log_path())).get(kind, [])


@functools.lru_cache(maxsize=4)
def _paces(log: Path, stamp: tuple[int, int]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                facts = json.loads(line)
                kind, pace = str(facts["kind"]), float(facts["pace"])
                if 0 < pace < math.inf:
                    found.setdefault(kind, []).append(pace)
    return found


def _stamp(log: Path) -> tuple[int, int]:
    try:
        facts = log.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


class _Quiet(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignored: a full disk is reported where the job's own files are written."""
