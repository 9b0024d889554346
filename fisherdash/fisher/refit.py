"""What a re-fit gave, and the same re-fit at any other point of its ridge path.

The pass over the data is done once; :class:`Prepared` keeps its sums. A head, its errors, its
posterior and its verdict follow from them, for the ridge that the rule chose and for every other
that the user points at. :class:`Refit` says it in numbers with intervals and in words.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.diagnostics import (
    Boltzmann,
    Divergence,
    Posterior,
    halved,
    kl_divergence,
    posterior,
)
from fisherdash.fisher.entropy import EntropyDescent
from fisherdash.fisher.labels import Labels, LabelSums, joined, sentences
from fisherdash.fisher.moments import Equations, Metric, Moments, equations
from fisherdash.fisher.ridge import (
    WORDS,
    Choice,
    Descent,
    RidgePoint,
    choose,
    descend,
    head_at,
    ridge_path,
)
from fisherdash.fisher.stability import StabilityCheck
from fisherdash.potentials.checkpoint import Checkpoint, energy_reference
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import SHARED
from fisherdash.settings import USUAL_NOISE_RIDGE, Options
from fisherdash.statistics import Estimate, bootstrap
from fisherdash.text import number

MIN_FRAMES = 10
FEW_FRAMES = 50
WIDE = 0.1
GROWN = 5.0
ANOTHER_LEVEL = 0.1
"""RMSE of the forces, eV/Å, above which a published model and the labels disagree in kind."""
ANOTHER_ZERO = 1.0
"""Mean error of the energy in eV that no sound model of the same data makes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Frames to fit, to choose the ridge, and to report on; the last two coincide if not chosen."""

    fit: Dataset
    ridge: Dataset
    report: Dataset
    chosen: bool


def divide(dataset: Dataset, options: Options) -> Division:
    """Divides the frames at random; raises InputError for fewer than :data:`MIN_FRAMES`."""
    if len(dataset) < MIN_FRAMES:
        raise InputError(
            f"a re-fit needs at least {MIN_FRAMES} frames, part of which are held out; "
            f"received {len(dataset)}"
        )
    order = np.random.default_rng(options.seed).permutation(len(dataset))
    held = min(max(2, round(options.holdout * len(dataset))), len(dataset) - 1)
    # In the order of time, so that groups of consecutive frames mean something.
    fit, rest = np.sort(order[held:]), order[:held]
    # Beside a quadratic head or the noise metric the report's own head has its ridge chosen.
    beside = options.head == "quadratic" or options.noisy
    half, chosen = held // 2, isinstance(options.ridge, str) or beside
    choose, report = (np.sort(rest[:half]), rest[half:]) if chosen else (np.sort(rest), rest)
    return Division(dataset.subset(fit), dataset.subset(choose), dataset.subset(report), chosen)


def _paired_change(
    default: Float[np.ndarray, " frames"], fisher: Float[np.ndarray, " frames"], seed: int
) -> Estimate:
    """Relative change of the root-mean-square force error, fisher/default − 1.

    Args:
        default, fisher: mean square errors of the same frames, which are resampled together.
        seed: of the bootstrap.
    """
    floor = np.finfo(float).tiny  # a head that makes no error at all has no relative change

    def ratio(often: Float[np.ndarray, "draws frames"]) -> Float[np.ndarray, " draws"]:
        """The relative change for each draw of frames."""
        before, after = (np.maximum(often @ one / len(one), floor) for one in (default, fisher))
        return np.sqrt(after / before) - 1

    return bootstrap(ratio, len(default), seed)


def _said(change: Estimate, frames: int) -> str:
    """A relative change with its interval, if it has one, and its number of frames."""
    percent = change.scaled(100.0)
    value = number(percent.value, ".1f", sign=True, unit="%")
    counted = f"{frames} frame{'s' if frames != 1 else ''}"
    if change.low is None:
        return f"{value} on {counted}"
    return f"{value} ({percent.span('.1f', sign=True, unit='%')}, {counted})"


def verdict(
    change: Estimate, head: str, frames: int, stability: StabilityCheck | None = None
) -> str:
    """One sentence or two: what happened to the force error, the head (in words) and survival."""
    if stability is not None and not stability.confirmation:
        return f"{stability.sentence}."
    if change.low is None:
        forces = "Too few held-out frames to tell: force error"
    else:
        forces = {
            -1: "Held-out force error",
            1: "The re-fit made held-out forces worse:",
            0: "No measurable change of held-out forces:",
        }[change.sign]
    forces += f" {_said(change, frames)}"
    survival = "survival not tested: run the stability check"
    if stability is not None:
        survival = stability.sentence
    return f"{forces}; {head}; {survival}."


def _about_data(prepared: "Prepared") -> Iterator[str]:
    dataset, test = prepared.dataset, prepared.boltzmann
    different = len({frame.tobytes() for frame in dataset.positions})
    if different < len(dataset):
        yield (
            f"Only {different} of the {len(dataset)} frames are different: repeated frames may be "
            "in the fit and held out at once, and errors look smaller than they are."
        )
    if not np.any(dataset.forces):
        yield "All forces are zero: the fitted head makes a flat energy surface."
    taught = prepared.checkpoint.provenance.get("molecule")
    if taught and taught != dataset.formula:
        yield (
            f"The network was trained on {taught} and these frames are {dataset.formula}: another "
            "last layer does not make it a model of this molecule, whatever the errors below say."
        )
    if test is not None and not test.consistent:
        yield test.verdict + (
            " The fit without forces relies on a Boltzmann sample; its head carries that error."
            if prepared.options.method == "laplacian"
            else " The fit from forces does not rely on it; everything that uses the temperature "
            "does, the KL divergence among it."
        )


def _about_head(
    prepared: "Prepared",
    norm: dict[str, float],
    descent: Descent | None,
    stability: StabilityCheck | None,
) -> Iterator[str]:
    fit, spec = prepared.fit, prepared.problem.spectrum
    size = len(spec.vectors)
    if fit.frames * fit.components < size:
        yield (
            f"{fit.frames} frames give {fit.frames * fit.components} force components for {size} "
            "weights: the fit is not determined by the data."
        )
    if spec.rank < size:
        small = " at all" if prepared.metric is None else " that single precision can tell"
        yield (
            f"{size - spec.rank} of {size} directions of the head change no force{small}; "
            "they keep their default value."
        )
    grown = norm["default"] > 0 and norm["fisher"] > GROWN * norm["default"]
    # With the noise metric a large head may well change no force beside the data.
    if grown and prepared.metric is None and stability is None:
        yield (
            f"The head grew from {norm['default']:.3g} to {norm['fisher']:.3g} eV. Heads that grow "
            "this much have made dynamics less stable while lowering the force error: let short "
            "dynamics choose the ridge (“stable dynamics”, --ridge stable), or use a larger one."
        )
    if stability is not None and stability.confirmation and not stability.confirmed:
        yield (
            "The chosen head lost more replicas than the default when both ran again from new "
            "initial states: its stability is not established. Use more replicas, or keep the "
            "default head."
        )
    if descent is not None and not descent.converged:
        yield (
            f"Gradient descent has not converged after {descent.steps[-1]:,} steps; it is still "
            f"{descent.distance[-1]:.1%} of |θ*| away from the closed form. A larger ridge helps."
        )


def _about_errors(
    prepared: "Prepared", change: Estimate, kl: dict[str, Divergence] | None
) -> Iterator[str]:
    frames, checkpoint = len(prepared.division.report), prepared.checkpoint
    few = frames < FEW_FRAMES
    width = None if change.low is None or change.high is None else change.high - change.low
    if few or (width or 0.0) > WIDE:
        by = "an unknown amount" if width is None else f"±{50 * width:.2g} percentage points"
        yield (
            f"{'Only ' if few else ''}{frames} held-out frames leave the change of the force error "
            f"uncertain by {by}; "
            f"{'at least ' + str(FEW_FRAMES) + ' are better.' if few else 'hold out more.'}"
        )
    energies, forces = prepared.default_errors
    off = energies - prepared.division.report.energies
    if abs(off.mean()) > ANOTHER_ZERO and abs(off.mean()) > 10 * off.std():
        yield (
            f"The default head's energies lie {off.mean():+.4g} eV off those of the data: another "
            "zero of energy or another level of theory, and its energy error says no more than "
            "that. The re-fit takes the zero of the data."
        )
    if kl is not None and any(item.doubtful for item in kl.values()):
        effective = min(item.effective_frames for item in kl.values())
        yield (
            f"The KL divergence rests on {effective:.1f} effective of {frames} frames: "
            "take it as a lower bound at best."
        )
    rmse = float(np.sqrt(np.mean((forces - prepared.division.report.forces) ** 2)))
    if checkpoint.provenance.get("made_by") == "import" and rmse > ANOTHER_LEVEL:
        yield (
            f"The forces of this model lie {rmse:.3g} eV/Å (RMSE) off these labels: another level "
            "of theory, most likely. A re-fit then moves the model to these labels and makes a "
            "specialist of it, for this molecule; the identity metric (--metric identity) moves "
            "it furthest, a ridge of noise holds it where it is."
        )
    trained_on = checkpoint.provenance.get("frames")
    if checkpoint.provenance.get("made_by") == "train" and trained_on:
        yield (
            f"The body was trained on {trained_on} frames of {checkpoint.provenance.get('data')}. "
            "Where these data contain those frames, both heads look better here than on new ones."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Sums over the frames, and everything that follows from them for any ridge.

    Attributes:
        checkpoint: the model as it came.
        start: the same, its head written in the form that was asked for; its head is θ₀.
        dataset: all frames.
        options: of the re-fit.
        temperature: of the frames in K, None if unknown.
        division: of the frames.
        groups: sums over groups of consecutive fitted frames.
        held_out: sums over groups of the frames that choose the ridge.
        boltzmann: the test of the hypothesis on the fitted frames; None if it could not be made.
        metric: of the ridge; None for the identity.
        labels: frames beside the data that were labelled for this re-fit; None without.
    """

    checkpoint: Checkpoint
    start: Checkpoint
    dataset: Dataset
    options: Options
    temperature: float | None
    division: Division
    groups: tuple[Moments, ...]
    held_out: tuple[Moments, ...]
    boltzmann: Boltzmann | None
    metric: Metric | None = None
    labels: Labels | None = None

    @functools.cached_property
    def fit(self) -> Moments:
        """Sums over all fitted frames."""
        return functools.reduce(operator.add, self.groups)

    @functools.cached_property
    def problem(self) -> Equations:
        """The normal equations of the fitted frames, and of the labelled ones."""
        problem = self.equations_of(self.fit)
        if self.labels is None:
            return problem
        return joined(
            problem, self.fit.frames, functools.reduce(LabelSums.plus, self.labels.halves)
        )

    @functools.cached_property
    def halves(self) -> tuple[Equations, ...]:
        """The normal equations of two halves of the fitted frames, and of the labelled ones."""
        found, halves = [], halved(self.groups)
        for index, half in enumerate(halves):
            problem = self.equations_of(half)
            if self.labels is not None:
                problem = joined(problem, half.frames, self.labels.halves[index])
            found.append(problem)
        return tuple(found)

    def equations_of(self, moments: Moments) -> Equations:
        """Normal equations of other frames, made the same way."""
        # Only the fit without forces has a temperature in its equations.
        temperature = self.temperature if self.options.method == "laplacian" else None
        return equations(moments, temperature, self.options.energy_weight, self.metric)

    @functools.cached_property
    def path(self) -> tuple[RidgePoint, ...]:
        """The ridge path, measured on the frames that choose the ridge."""
        held_out = functools.reduce(operator.add, self.held_out)
        return ridge_path(self.problem, self.fit, held_out, self.start.head)

    def choose(self) -> Choice:
        """The ridge by the rule of the options; that of "stable" is the first of its candidates."""
        rule = self.options.ridge
        if not isinstance(rule, str):
            return Choice(float(rule), "given")
        unseen = [self.equations_of(group) for group in self.held_out]
        seed = self.options.seed
        return choose(rule, self.path, self.problem, unseen, self.start.head, seed)

    @functools.cached_property
    def report_head(self) -> "Refit | None":
        """The published report's own re-fit of the same frames: one shared vector, rule "auto".

        Its sums are part of those of a wider head. None where this is that re-fit, or where the
        checkpoint's head is a wider one already.
        """
        own = self.options.head == "shared" and not self.options.noisy
        if own or self.checkpoint.form != SHARED:
            return None
        features = self.checkpoint.potential.num_features
        elements = self.start.form.linear(features) // features
        sums = np.zeros((len(self.start.head), features))
        sums[: elements * features] = np.tile(np.eye(features), (elements, 1))
        options = dataclasses.replace(
            self.options,
            method="forces" if self.options.method == "kl" else self.options.method,
            head="shared",
            metric=None,
            ridge="auto",
            reduce=None,
            label_displaced=0,
            label_dynamics=0,
        )
        narrow = dataclasses.replace(
            self,
            start=self.checkpoint,
            options=options,
            groups=tuple(group.narrowed(sums) for group in self.groups),
            held_out=tuple(group.narrowed(sums) for group in self.held_out),
            metric=None,
            labels=None,
        )
        return narrow.refit(narrow.choose())

    def checkpoint_at(
        self, ridge: float, rule: str, head: np.ndarray | None = None, *, covariance: bool = False
    ) -> Checkpoint:
        """The body with the head of one point of the path, and its energy constant."""
        head = head_at(ridge, self.problem, self.start.head) if head is None else head
        return self.start.with_head(
            head,
            energy_reference(self.fit.constant(head), self.dataset.atomic_numbers),
            name=f"{self.checkpoint.name}-fisher",
            provenance={
                "made_by": "solve",
                # The model as it came: its head may have been written in a wider form since.
                "parent": self.checkpoint.name,
                "parent_fingerprint": self.checkpoint.fingerprint,
                "method": self.options.method,
                "ridge": ridge if math.isfinite(ridge) else None,
                "ridge_rule": WORDS[rule],
                "head": self.options.head,
                "metric": self.options.ridge_metric,
                "energy_weight": self.options.energy_weight,
                "data": self.dataset.source,
                "data_fingerprint": self.dataset.fingerprint,
                "molecule": self.checkpoint.provenance.get("molecule") or self.dataset.formula,
                "temperature_K": self.temperature,
                "frames_fit": len(self.division.fit),
                "holdout": self.options.holdout,
                "seed": self.options.seed,
                **({} if self.labels is None else {"labels": self.labels.to_json()}),
            },
            covariance=self.posterior_at(ridge).covariance if covariance else None,
        )

    def posterior_at(self, ridge: float) -> Posterior:
        """Uncertainty of the head of one point of the path; computed once for each."""
        if ridge not in self._posteriors:
            self._posteriors[ridge] = posterior(
                self.fit,
                self.problem,
                self.halves,
                ridge,
                self.start.head,
                0.0 if self.labels is None else self.labels.weight,
            )
        return self._posteriors[ridge]

    @functools.cached_property
    def _posteriors(self) -> dict[float, Posterior]:
        return {}

    def _grown(self, head: Float[np.ndarray, " d"], norm: dict[str, float]) -> str:
        """How far a head went from the default one, by what the ridge holds, in words.

        A noise metric leaves directions free that change no force, so that |θ| says little.
        """
        if self.metric is None:
            growth = norm["fisher"] / norm["default"] if norm["default"] > 0 else math.inf
            return f"head norm ×{number(growth)}"
        moved = head - self.start.head
        force = math.sqrt(float(moved @ self.metric.matrix @ moved) / (3 * self.dataset.num_atoms))
        return f"forces on displaced frames differ by {number(force, unit='eV/Å')} (RMS)"

    @functools.cached_property
    def default_errors(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m atoms 3"]]:
        """Energies and forces of the default head on the frames of the report."""
        return predict(self.checkpoint, self.division.report)

    def _errors(
        self, predicted: dict[str, tuple[np.ndarray, np.ndarray]]
    ) -> tuple[Estimate, dict[str, dict[str, float]], dict[str, Divergence] | None]:
        """Change of the force error, errors and kT·D_KL, on the frames of the report."""
        report = self.division.report
        squared = {
            name: np.mean((forces - report.forces) ** 2, axis=(1, 2))
            for name, (_, forces) in predicted.items()
        }
        errors = {
            "fisher_divergence": {
                name: float(1.5 * self.dataset.num_atoms * one.mean())
                for name, one in squared.items()
            },
            "force_rmse": {name: float(np.sqrt(one.mean())) for name, one in squared.items()},
            "energy_rmse": {
                name: float(np.sqrt(np.mean((energies - report.energies) ** 2)))
                for name, (energies, _) in predicted.items()
            },
        }
        kl = None
        if self.temperature is not None:
            kl = {
                name: kl_divergence(energies, report.energies, self.temperature)
                for name, (energies, _) in predicted.items()
            }
        change = _paired_change(squared["default"], squared["fisher"], self.options.seed)
        return change, errors, kl

    def _why_kept(self) -> str:
        """Why the default head is kept, with what the usual ridge does on the report's frames."""
        usual = predict(self.checkpoint_at(USUAL_NOISE_RIDGE, "usual"), self.division.report)
        change, _, _ = self._errors({"default": self.default_errors, "fisher": usual})
        return (
            "The default head is kept: the usual ridge of noise does not lower the force error of "
            "the frames held out to choose; of those held out to report it would change by "
            f"{_said(change, len(self.division.report))}."
        )

    def refit(
        self,
        choice: Choice,
        stability: StabilityCheck | None = None,
        entropy: EntropyDescent | None = None,
    ) -> "Refit":
        """The finished re-fit at a chosen ridge; ``entropy`` is the way to it of that method."""
        spec = self.problem.spectrum
        descent, head = None, None if entropy is None else entropy.head
        if self.options.method == "gradient" and math.isfinite(choice.ridge):
            descent = descend(self.problem, self.start.head, choice.ridge)
            head = descent.head
        certain = math.isfinite(choice.ridge) and len(self.groups) > 1 and entropy is None
        refit = self.checkpoint_at(choice.ridge, choice.rule, head, covariance=certain)
        spread = self.posterior_at(choice.ridge) if certain else None
        report = self.division.report
        predicted = {"default": self.default_errors, "fisher": predict(refit, report)}
        change, errors, kl = self._errors(predicted)
        norm = {
            "default": float(np.linalg.norm(self.start.head)),
            "fisher": float(np.linalg.norm(refit.head)),
        }
        if choice.rule == "kept":
            said = self._why_kept()
        else:
            said = verdict(change, self._grown(refit.head, norm), len(report), stability)
        return Refit(
            prepared=self,
            checkpoint=refit,
            choice=choice,
            condition_number=spec.condition_number,
            effective_rank=spec.effective_dof(choice.ridge)
            if entropy is None
            else entropy.effective_dof,
            head_norm=norm,
            force_change=change,
            posterior=spread,
            kl=kl,
            **errors,
            descent=descent,
            stability=stability,
            entropy=entropy,
            verdict=said,
            warnings=(
                *(() if entropy is None else (f"{entropy.sentence}.",)),
                *_about_data(self),
                *_about_head(self, norm, descent, stability),
                *_about_errors(self, change, kl),
            ),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Refit:
    """What a re-fit gave.

    Dicts have the keys ``default`` and ``fisher``; divergence, force and energy errors are those
    of the frames held out for the report.

    Attributes:
        prepared: the sums it follows from.
        checkpoint: the same body with the new head, its covariance and the new energy constant.
        choice: the ridge and how it was chosen.
        condition_number: of the normal equations; infinite if they are singular.
        effective_rank: number of directions that the data decide at this ridge.
        head_norm: |θ| in eV.
        fisher_divergence: ½ E|∇U_θ − ∇U|² in eV²/Å²; times β² it is the divergence in Å⁻².
        force_rmse: in eV/Å.
        energy_rmse: in eV.
        force_change: relative change of the force error with its interval.
        posterior: uncertainty of the head; None where the default head was kept.
        kl: kT·D_KL of both heads from the frames of the report; None without a temperature.
        descent: the path of gradient descent, for that method.
        stability: the runs behind a stability-aware choice.
        entropy: Newton's steps and the dynamics behind them, for the method "kl".
        verdict: plain words.
        warnings: what the user should know before believing it.
    """

    prepared: Prepared
    checkpoint: Checkpoint
    choice: Choice
    condition_number: float
    effective_rank: float
    head_norm: dict[str, float]
    fisher_divergence: dict[str, float]
    force_rmse: dict[str, float]
    energy_rmse: dict[str, float]
    force_change: Estimate
    posterior: Posterior | None
    kl: dict[str, Divergence] | None
    descent: Descent | None
    stability: StabilityCheck | None
    entropy: EntropyDescent | None
    verdict: str
    warnings: tuple[str, ...]

    @property
    def ridge(self) -> float:
        """λ as it was asked for; infinite where the default head was kept."""
        return self.choice.ridge

    @property
    def report_head(self) -> "Refit | None":
        """The published report's own head beside a wider one, see :class:`Prepared`."""
        return self.prepared.report_head

    def beside(self, name: str) -> dict[str, Any]:
        """A mapping of this re-fit, such as ``force_rmse``, with "report" for the report's head."""
        found, own = getattr(self, name), self.report_head
        return found if own is None else found | {"report": getattr(own, name)["fisher"]}

    @property
    def labelled(self) -> Sequence[str]:
        """What each round of labelling added, in words."""
        return () if self.prepared.labels is None else sentences(self.prepared.labels)

    @property
    def relative_ridge(self) -> float:
        """λ over the largest eigenvalue, for either metric."""
        spec = self.prepared.problem.spectrum
        return self.ridge * spec.unit / max(spec.largest, np.finfo(float).tiny)

    @property
    def path(self) -> tuple[RidgePoint, ...]:
        """The ridge path, measured on the frames that choose the ridge."""
        return self.prepared.path

    @property
    def boltzmann(self) -> Boltzmann | None:
        """The test of the hypothesis that the frames are a Boltzmann sample."""
        return self.prepared.boltzmann

    @property
    def eigenvalues(self) -> Sequence[float]:
        """Of the normal equations relative to the metric, falling; Å⁻² for the identity metric."""
        return tuple(float(value) for value in self.prepared.problem.spectrum.values)

    @property
    def frames(self) -> tuple[int, int, int]:
        """Frames fitted, frames that chose the ridge, frames of the report."""
        division = self.prepared.division
        return (
            len(division.fit),
            len(division.ridge) if division.chosen else 0,
            len(division.report),
        )

    def at(self, ridge: float) -> "Refit":
        """The re-fit at another point of the path, from the same pass; computed once for each.

        Of the method "kl" too the path is that of the forces.
        """
        if ridge not in self._others:
            self._others[ridge] = self._of_path.refit(Choice(ridge, "given"))
        return self._others[ridge]

    @functools.cached_property
    def _of_path(self) -> Prepared:
        if self.entropy is None:
            return self.prepared
        options = dataclasses.replace(self.prepared.options, method="forces")
        return dataclasses.replace(self.prepared, options=options)

    @functools.cached_property
    def _others(self) -> dict[float, "Refit"]:
        return {}
