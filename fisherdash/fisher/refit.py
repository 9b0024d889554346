"""What a re-fit gave, and the same re-fit at any other point of its ridge path.

The pass over the data is done once; :class:`Prepared` keeps its sums. A head, its errors, its
posterior and its verdict follow from them at once, for the ridge that the rule chose and for every
other that the user points at.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fisherdash.checkpoint import Checkpoint, energy_reference
from fisherdash.dataset import Dataset
from fisherdash.evaluate import predict
from fisherdash.fisher.boltzmann import Boltzmann
from fisherdash.fisher.choice import WORDS, Choice
from fisherdash.fisher.descent import Descent, descend
from fisherdash.fisher.equations import Equations, equations
from fisherdash.fisher.kl import Divergence, kl_divergence
from fisherdash.fisher.moments import Moments
from fisherdash.fisher.options import Division, Options
from fisherdash.fisher.posterior import Posterior, posterior
from fisherdash.fisher.ridge import RidgePoint, head_at, ridge_path
from fisherdash.fisher.stability import StabilityCheck
from fisherdash.fisher.verdict import Change, paired_change, verdict, warnings_of


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Sums over the frames, and everything that follows from them for any ridge.

    Attributes:
        checkpoint: the model as it came.
        start: the same, with a head by element where one was asked for; its head is θ₀.
        dataset: all frames.
        options: of the re-fit.
        temperature: of the frames in K, None if unknown.
        division: of the frames.
        groups: sums over groups of consecutive fitted frames.
        held_out: sums over groups of the frames that choose the ridge.
        boltzmann: the test of the hypothesis on the fitted frames; None if it could not be made.
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

    @functools.cached_property
    def fit(self) -> Moments:
        """Sums over all fitted frames."""
        return functools.reduce(operator.add, self.groups)

    @functools.cached_property
    def problem(self) -> Equations:
        """The normal equations of the fitted frames."""
        return self.equations_of(self.fit)

    @property
    def heat(self) -> float | None:
        """The temperature in K that stands in the equations: that of the fit without forces."""
        return self.temperature if self.options.method == "laplacian" else None

    def equations_of(self, moments: Moments) -> Equations:
        """Normal equations of other frames, made the same way."""
        return equations(moments, self.heat, self.options.energy_weight)

    @functools.cached_property
    def path(self) -> tuple[RidgePoint, ...]:
        """The ridge path, measured on the frames that choose the ridge."""
        held_out = functools.reduce(operator.add, self.held_out)
        unseen = self.equations_of(held_out)
        return ridge_path(self.problem, self.fit, held_out, unseen, self.start.head)

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
                "method": self.options.method,
                "ridge": ridge if math.isfinite(ridge) else None,
                "ridge_rule": WORDS[rule],
                "head": self.options.head,
                "energy_weight": self.options.energy_weight,
                "data": self.dataset.source,
                "data_fingerprint": self.dataset.fingerprint,
                "molecule": self.checkpoint.provenance.get("molecule") or self.dataset.formula,
                "temperature_K": self.temperature,
                "frames_fit": len(self.division.fit),
                "holdout": self.options.holdout,
                "seed": self.options.seed,
            },
            covariance=self.posterior_at(ridge).covariance if covariance else None,
        )

    def posterior_at(self, ridge: float) -> Posterior:
        """Uncertainty of the head of one point of the path; computed once for each."""
        if ridge not in self._posteriors:
            self._posteriors[ridge] = posterior(
                self.groups, ridge, self.start.head, self.heat, self.options.energy_weight
            )
        return self._posteriors[ridge]

    @functools.cached_property
    def _posteriors(self) -> dict[float, Posterior]:
        return {}

    @functools.cached_property
    def default_errors(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m atoms 3"]]:
        """Energies and forces of the default head on the frames of the report."""
        return predict(self.checkpoint, self.division.report)

    def refit(self, choice: Choice, stability: StabilityCheck | None = None) -> "Refit":
        """The finished re-fit at a chosen ridge."""
        spec = self.problem.spectrum
        descent, head = None, None
        if self.options.method == "gradient" and math.isfinite(choice.ridge):
            descent = descend(self.problem, self.start.head, choice.ridge)
            head = descent.head
        certain = math.isfinite(choice.ridge) and len(self.groups) > 1
        refit = self.checkpoint_at(choice.ridge, choice.rule, head, covariance=certain)
        spread = self.posterior_at(choice.ridge) if certain else None
        report = self.division.report
        errors = {"default": self.default_errors, "fisher": predict(refit, report)}
        squared = {
            name: np.mean((forces - report.forces) ** 2, axis=(1, 2))
            for name, (_, forces) in errors.items()
        }
        change = paired_change(squared["default"], squared["fisher"], self.options.seed)
        norm = {
            "default": float(np.linalg.norm(self.start.head)),
            "fisher": float(np.linalg.norm(refit.head)),
        }
        kl = None
        if self.temperature is not None:
            kl = {
                name: kl_divergence(energies, report.energies, self.temperature)
                for name, (energies, _) in errors.items()
            }
        return Refit(
            prepared=self,
            checkpoint=refit,
            choice=choice,
            condition_number=spec.condition_number,
            effective_rank=spec.effective_dof(choice.ridge),
            head_norm=norm,
            fisher_divergence={
                k: float(1.5 * self.dataset.num_atoms * v.mean()) for k, v in squared.items()
            },
            force_rmse={k: float(np.sqrt(v.mean())) for k, v in squared.items()},
            energy_rmse={
                name: float(np.sqrt(np.mean((energies - report.energies) ** 2)))
                for name, (energies, _) in errors.items()
            },
            force_change=change,
            posterior=spread,
            kl=kl,
            descent=descent,
            stability=stability,
            verdict=verdict(change, norm, len(report), stability),
            warnings=warnings_of(self, norm, change, kl, descent, stability),
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
    force_change: Change
    posterior: Posterior | None
    kl: dict[str, Divergence] | None
    descent: Descent | None
    stability: StabilityCheck | None
    verdict: str
    warnings: tuple[str, ...]

    @property
    def ridge(self) -> float:
        """λ over the largest eigenvalue; infinite where the default head was kept."""
        return self.choice.ridge

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
        """Of the normal equations, falling, Å⁻²."""
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
        """The re-fit at another point of the path, from the same pass; computed once for each."""
        if ridge not in self._others:
            self._others[ridge] = self.prepared.refit(Choice(ridge, "given"))
        return self._others[ridge]

    @functools.cached_property
    def _others(self) -> dict[float, "Refit"]:
        return {}
