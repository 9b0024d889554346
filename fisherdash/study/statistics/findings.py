"""Everything that the tables of a study say, for page, document and shell alike."""

import dataclasses
import functools
import tomllib
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from fisherdash.errors import InputError
from fisherdash.statistics import SIGNIFICANT
from fisherdash.study.primary import Registered, matching, question_of
from fisherdash.study.statistics import comparison, effects, failures, pairing
from fisherdash.study.statistics.comparison import Comparison
from fisherdash.study.statistics.failures import FailureRate, SurvivalCurve
from fisherdash.study.statistics.pairing import DEFAULT, Condition, Paired
from fisherdash.study.statistics.primary import Answer, answer_of
from fisherdash.study.tables import Tables

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
        self.question = question_of(tomllib.loads(specification).get("primary"))
        self.factors = comparison.epoch_factors(specification)
        self.tables = _main_part(tables)
        self.recipe = comparison.main_recipe(tables.models)
        self.conditions = pairing.conditions(self.trajectories)
        self.heads = pairing.heads(self.trajectories)

    @property
    def trajectories(self) -> pd.DataFrame:
        """Trajectories of the main recipe."""
        return self.tables.trajectories

    @functools.cached_property
    def pairs(self) -> dict[tuple[str, Condition], Paired]:
        """Every re-fitted head against the default one of the same models; empty ones left out."""
        keys = [(head, condition) for condition in self.conditions for head in self.heads]
        found = {key: pairing.against_default(self.trajectories, *key) for key in keys}
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
        pairs = pairing.pair(first, second)
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
