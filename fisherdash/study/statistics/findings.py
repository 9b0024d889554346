"""Everything that the tables of a study say, for page, document and shell alike.

First the answer to its primary question: interval and tests of one and the same number, the mean
over models of d, the share of a model's trajectories that survive to the end on the second side
minus that on the first. Its interval draws models, then replicas. Two tests ask whether the d lie
around zero: the signed-rank test (F. Wilcoxon, Biometrics Bull. 1, 80 (1945)), which is the one
that counts, and the sign-flip permutation test of their mean (R. A. Fisher, The Design of
Experiments (1935), § 21). Nothing is corrected: there is one question.

Models of which everything or nothing survives on both sides have d = 0. They are counted, said, and
left in.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.statistics import FEWEST, SIGNIFICANT, Estimate
from fisherdash.study.spec import Primary, Registered, matching, parsed, question_of
from fisherdash.study.statistics import comparison, effects, failures
from fisherdash.study.statistics.comparison import (
    DEFAULT,
    Comparison,
    Condition,
    Paired,
    model_means,
    more_survivors,
    over_models,
    per_model,
    to_json,
)
from fisherdash.study.statistics.failures import FailureRate, SurvivalCurve
from fisherdash.study.tables import Tables

EXACT = 14
"""Models up to which every pattern of signs is tried."""
DRAWN = 20_000
"""Patterns that are drawn for more models."""

Verdict = Literal["too few models", "more survive", "fewer survive", "no difference shown"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the data say to the primary question.

    Attributes:
        question: that was asked.
        condition: that it is about.
        horizon: length of the shortest run, ps.
        models, pairs: that count.
        silent, lost: models of which nothing, or everything, failed on both sides.
        surviving: mean over models of the surviving share, first and second side.
        change: the mean of d with its 95 % interval.
        signed_rank, sign_flips: p-values; None with too few models.
        spread: standard deviation of d between models; None with fewer than two.
        power: of a test as planned, to see the smallest effect of interest; None where the
            question does not say how many models, what spread or what effect.
        asked: every wording of the question with its date, the last one is this.
    """

    question: Primary
    condition: Condition
    horizon: float
    models: int
    pairs: int
    silent: int
    lost: int
    surviving: tuple[float, float]
    change: Estimate
    signed_rank: float | None
    sign_flips: float | None
    spread: float | None
    power: float | None
    asked: tuple[Registered, ...] = ()

    @property
    def informative(self) -> int:
        """Models that could show a difference."""
        return self.models - self.silent - self.lost

    @property
    def verdict(self) -> Verdict:
        """By the signed-rank test and the sign of the mean."""
        if self.signed_rank is None:
            return "too few models"
        if self.signed_rank >= SIGNIFICANT or not self.change.value:
            return "no difference shown"
        return "more survive" if self.change.value > 0 else "fewer survive"

    @property
    def too_small_to_matter(self) -> bool:
        """Whether the interval excludes every change as large as the smallest of interest."""
        size, low, high = self.question.smallest, self.change.low, self.change.high
        return None not in (size, low, high) and 100 * max(-low, high) < size  # pyright: ignore

    def to_json(self) -> dict[str, Any]:
        """Every number, None where one is not known; shares between 0 and 1."""
        plain = {
            name: getattr(self, name)
            for name in ("horizon", "models", "pairs", "informative", "silent", "lost",
                         "signed_rank", "sign_flips", "spread", "power", "verdict")
        }  # fmt: skip
        return {
            "question": self.question.to_json(),
            **self.condition.to_json(),
            **plain,
            "surviving": list(self.surviving),
            "change": to_json(self.change),
            "asked": [dataclasses.asdict(one) for one in self.asked],
        }


def answer_of(
    pairs: Paired,
    question: Primary,
    condition: Condition,
    asked: Sequence[Registered] = (),
    seed: int = 0,
) -> Answer:
    """What pairs of trajectories say to the primary question.

    Args:
        pairs: at least one, under the condition that is asked about.
        question, condition: of the study.
        asked: wordings of the question.
        seed: of bootstrap and permutations.
    """
    known = np.isfinite(pairs.failed[0]).any(axis=1)
    alive = 1.0 - np.stack([model_means(side[known]) for side in pairs.failed])
    effects = alive[1] - alive[0]
    counted = per_model(pairs)
    return Answer(
        question,
        condition,
        horizon=pairs.horizon,
        models=int(known.sum()),
        pairs=pairs.count,
        silent=counted.silent,
        lost=counted.lost,
        surviving=(float(alive[0].mean()), float(alive[1].mean())),
        change=more_survivors(pairs, seed),
        signed_rank=over_models(pairs.more_survived),
        sign_flips=sign_flips(effects, seed),
        spread=float(np.std(effects, ddof=1)) if len(effects) > 1 else None,
        power=planned_power(question),
        asked=tuple(asked),
    )


def sign_flips(effects: Float[np.ndarray, " models"], seed: int = 0) -> float | None:
    """p-value that the effects' signs are a matter of chance, from the size of their mean.

    Exact for up to EXACT effects that are not zero, else from DRAWN patterns (and the observed
    one). None with fewer than FEWEST models, 1 where all effects are zero.
    """
    if len(effects) < FEWEST:
        return None
    effects = effects[effects != 0]
    if not len(effects):
        return 1.0
    least = abs(effects.sum()) * (1.0 - 1e-12)
    if len(effects) <= EXACT:
        patterns = np.arange(2 ** len(effects))[:, None] >> np.arange(len(effects)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ effects) >= least))
    patterns = np.random.default_rng(seed).integers(2, size=(DRAWN, len(effects)), dtype=np.int8)
    as_large = np.abs((1 - 2 * patterns) @ effects) >= least
    return (1 + int(as_large.sum())) / (1 + DRAWN)


def planned_power(question: Primary) -> float | None:
    """Probability that the planned test sees the smallest effect of interest (Student's t-test)."""
    if question.models is None or question.smallest is None or question.spread is None:
        return None
    from statsmodels.stats.power import TTestPower  # slow to import

    relative = question.smallest / question.spread
    found = TTestPower().power(effect_size=relative, nobs=question.models, alpha=SIGNIFICANT)
    return float(np.ravel(found)[0])


_BY_MODEL: Final = ("heads", "trajectories", "curves", "structure")


class Findings:
    """What a population says; each part is computed when it is first asked for, then kept.

    All parts but ``recipes`` and ``costs`` are about the models of the main recipe. An unfinished
    study has findings too, of what is there.

    Args:
        tables: of a study.
        specification: its TOML, for the primary question and the factors by which recipes change
            the number of epochs.
        seed: of every bootstrap.
        asked: wordings of the primary question, with their dates.

    Raises:
        InputError: if a table names a model that is not in the table of models.
    """

    def __init__(
        self,
        tables: Tables,
        specification: str = "",
        seed: int = 0,
        asked: Sequence[Registered] = (),
    ) -> None:
        known = set(tables.models["model"])
        for name in _BY_MODEL:
            unknown = set(getattr(tables, name)["model"]) - known
            if unknown:
                raise InputError(
                    f"the table {name} of a study names the model {min(unknown)}, which its table "
                    "of models does not have"
                )
        self.whole, self.seed, self.asked = tables, seed, tuple(asked)
        self.question = question_of(parsed(specification).get("primary"))
        self.factors = comparison.epoch_factors(specification)
        self.tables = _main_part(tables)
        self.recipe = comparison.main_recipe(tables.models)
        self.conditions = comparison.conditions(self.trajectories)
        self.heads = comparison.heads(self.trajectories)

    @property
    def trajectories(self) -> pd.DataFrame:
        """Trajectories of the main recipe."""
        return self.tables.trajectories

    @functools.cached_property
    def pairs(self) -> dict[tuple[str, Condition], Paired]:
        """Every re-fitted head against the default one of the same models; empty ones left out."""
        keys = [(head, condition) for condition in self.conditions for head in self.heads]
        found = {key: comparison.against_default(self.trajectories, *key) for key in keys}
        return {key: pairs for key, pairs in found.items() if pairs.count}

    @functools.cached_property
    def primary(self) -> Answer | None:
        """The answer to the primary question; None without a question or without trajectories."""
        question = self.question
        if question is None:
            return None
        there = {(one.temperature, one.timestep): one for one in self.conditions}
        fitting = matching(question, list(there))
        if len(fitting) != 1:
            return None
        condition, rows = there[fitting[0]], self.trajectories
        first, second = (condition.of(rows, head) for head in question.sides)
        pairs = comparison.pair(first, second)
        return answer_of(pairs, question, condition, self.asked, self.seed) if pairs.count else None

    @property
    def first_condition(self) -> Condition | None:
        """That of the primary question, else the first one; None without trajectories."""
        return self.primary.condition if self.primary else next(iter(self.conditions), None)

    @functools.cached_property
    def comparisons(self) -> list[Comparison]:
        """What the pairs say, corrected together."""
        return comparison.corrected(
            [
                comparison.compare(pairs, condition, DEFAULT, head, self.seed)
                for (head, condition), pairs in self.pairs.items()
            ]
        )

    def pairs_at(self, condition: Condition) -> dict[str, Paired]:
        """The pairs by head, under one condition."""
        return {head: pairs for (head, where), pairs in self.pairs.items() if where == condition}

    def complete(self) -> "Findings":
        """The same, with every part computed."""
        for name, part in vars(type(self)).items():
            if isinstance(part, functools.cached_property):
                getattr(self, name)
        return self

    def of(self, condition: Condition) -> list[Comparison]:
        """The comparisons under one condition."""
        return [one for one in self.comparisons if one.condition == condition]

    @functools.cached_property
    def kinds(self) -> dict[Condition, pd.DataFrame]:
        """Trajectories by head and kind of failure."""
        runs = self.trajectories
        found = failures.kinds(runs, self.tables.models)
        parts = {condition: condition.of(runs) for condition in self.conditions}
        return {
            key: failures.count_kinds(found.loc[rows.index], rows) for key, rows in parts.items()
        }

    @functools.cached_property
    def causes(self) -> dict[Condition, pd.DataFrame]:
        """Failures by head and what they were."""
        return {one: failures.count_causes(one.of(self.trajectories)) for one in self.conditions}

    @functools.cached_property
    def survivor_energies(self) -> dict[Condition, pd.DataFrame]:
        """Reference energies of the survivors' last frames; empty where none were judged."""
        found = {
            one: failures.survivor_energies(one.of(self.trajectories)) for one in self.conditions
        }
        return {condition: table for condition, table in found.items() if len(table)}

    @functools.cached_property
    def survivals(self) -> dict[Condition, list[SurvivalCurve]]:
        """Survival of every head over time, the default one first."""
        return {
            condition: [
                failures.survival(self.trajectories, head, condition, self.seed)
                for head in (DEFAULT, *self.heads)
                if len(condition.of(self.trajectories, head))
            ]
            for condition in self.conditions
        }

    @functools.cached_property
    def rates(self) -> list[FailureRate]:
        """Failures per ns of every head, the default one too."""
        return [
            failures.failure_rate(self.trajectories, head, condition, self.seed)
            for condition in self.conditions
            for head in condition.of(self.trajectories)["head"].drop_duplicates()
        ]

    @functools.cached_property
    def associations(self) -> list[effects.Association]:
        """Correlations of every effect with properties of the models, corrected together."""
        found = []
        for (head, condition), pairs in self.pairs.items():
            known = effects.predictors(self.tables.models, self.tables.heads, head)
            found += effects.associations(
                effects.by_model(pairs), known, head, condition, self.seed
            )
        return effects.as_family(found)

    @functools.cached_property
    def thirds(self) -> dict[tuple[str, Condition], list[effects.Third]]:
        """The effect of each head in thirds of the models, ordered by their force error."""
        known = effects.predictors(self.tables.models, self.tables.heads, DEFAULT)
        return {key: effects.by_third(pairs, known, self.seed) for key, pairs in self.pairs.items()}

    @functools.cached_property
    def seen(self) -> dict[tuple[str, Condition], comparison.Power]:
        """What change of the surviving share could be seen, at the level of Holm's first step."""
        alpha = SIGNIFICANT / max(1, len(self.pairs))
        found = {
            key: comparison.power(comparison.model_means(pairs.more_survived), alpha)
            for key, pairs in self.pairs.items()
        }
        return {key: power for key, power in found.items() if power is not None}

    def seen_at(self, condition: Condition) -> dict[str, comparison.Power]:
        """The same by head, under one condition."""
        return {head: one for (head, where), one in self.seen.items() if where == condition}

    def effects_at(self, condition: Condition) -> dict[str, pd.DataFrame]:
        """The effect of each head on every model, under one condition."""
        return {head: effects.by_model(pairs) for head, pairs in self.pairs_at(condition).items()}

    @property
    def default_errors(self) -> dict[str, float]:
        """Test force RMSE of every model's default head, eV/Å."""
        models = self.tables.models
        errors = models["test_force_rmse_eV_per_A"].astype(float)
        return dict(zip(map(str, models["model"]), errors, strict=True))

    @functools.cached_property
    def recipes(self) -> list[Comparison]:
        """Other ways to train, and re-fits on top of them, against the main recipe's default."""
        return comparison.recipe_comparisons(
            self.whole.models,
            self.whole.trajectories,
            self.heads,
            self.conditions,
            self.factors,
            self.seed,
        )

    @functools.cached_property
    def force_errors(self) -> list[effects.Change]:
        """Changes of the force RMSE on frames that no model has seen."""
        return effects.force_errors(self.tables.heads, self.heads, self.seed)

    @functools.cached_property
    def sharpness(self) -> list[effects.Change]:
        """Changes of the sharpness of the loss around each head."""
        return effects.sharpness(self.tables.heads, self.heads, self.seed)

    @functools.cached_property
    def sharpness_and_failure(self) -> list[effects.Association]:
        """Whether sharper models fail sooner."""
        return effects.sharpness_and_failure(
            self.tables.heads, self.trajectories, self.conditions, self.seed
        )

    @functools.cached_property
    def structure(self) -> list[effects.Change]:
        """Changes of the error of the distribution of distances."""
        return effects.structure_errors(
            self.tables.structure, self.heads, self.conditions, self.seed
        )

    @property
    def seconds(self) -> dict[str, float]:
        """Of every stage of the work, the median over models."""
        rows = self.whole.timings
        rows = rows.loc[rows["model"].isin(list(self.tables.models["model"])).to_numpy(bool), :]
        middle = rows.groupby("stage", sort=False)["seconds"].median()
        return {str(stage): float(seconds) for stage, seconds in middle.items()}

    @functools.cached_property
    def costs(self) -> list[failures.DynamicsCost]:
        """Cost of 100 ns on the devices that were measured."""
        return failures.costs(self.whole.timings, self.whole.trajectories, self.whole.heads)

    def to_json(self) -> dict[str, Any]:
        """The numbers that the verdict rests on; None where one is not known."""
        return {
            "models": len(self.tables.models),
            "recipe": self.recipe,
            "heads": self.heads,
            "trajectories": len(self.trajectories),
            "primary": self.primary and self.primary.to_json(),
            "comparisons": [one.to_json() for one in self.comparisons],
            "recipes": [one.to_json() for one in self.recipes],
            "failure_rates": [one.to_json() for one in self.rates],
            "costs": [one.to_json() for one in self.costs],
        }


def _main_part(tables: Tables) -> Tables:
    """The tables with the models of the main recipe only; losses and timings stay whole."""
    recipe = comparison.main_recipe(tables.models)
    models = tables.models.loc[(tables.models["recipe"] == recipe).to_numpy(bool), :]
    kept = {
        name: table.loc[table["model"].isin(list(models["model"])).to_numpy(bool), :]
        for name, table in ((name, getattr(tables, name)) for name in _BY_MODEL)
    }
    return dataclasses.replace(tables, models=models, **kept)
