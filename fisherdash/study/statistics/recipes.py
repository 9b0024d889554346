"""Other remedies than a re-fit, as baselines: ways to train, paired by network and training data.

Two recipes are compared on networks that differ in the recipe alone: the same data, number of
frames, seed, architecture and, before the recipe's own factor, number of epochs. The main recipe's
default head is what everything is held against, so that "train longer" and "re-fit" stand side by
side.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from fisherdash.study.statistics.comparison import Comparison, compare, corrected
from fisherdash.study.statistics.pairing import DEFAULT, Condition, pair

SAME: Final = ("data", "frames", "seed", "features", "max_degree", "iterations", "basis")
"""What two networks of a pair have in common."""


def main_recipe(models: pd.DataFrame) -> str | None:
    """The recipe of most models, the first of these; None without models."""
    counts = models["recipe"].value_counts(sort=False)
    return str(counts.idxmax()) if len(counts) else None


def epoch_factors(specification: str) -> dict[str, float]:
    """By what each recipe of a specification (TOML) multiplies the epochs; 1 if it does not say."""
    found = tomllib.loads(specification).get("recipe", {})
    return {name: float(recipe.get("epochs_factor", 1.0)) for name, recipe in found.items()}


def networks(models: pd.DataFrame, factors: Mapping[str, float]) -> dict[str, str]:
    """A name for every model that is the same for what differs in the recipe alone."""
    factor = np.array([factors.get(recipe, 1.0) for recipe in models["recipe"]])
    epochs = np.round(models["epochs"].to_numpy(float) / factor).astype(int).astype(str)
    same = models[list(SAME)].astype(str).agg("|".join, axis=1)
    return dict(zip(models["model"], same + "|" + epochs, strict=True))


def recipe_comparisons(
    models: pd.DataFrame,
    trajectories: pd.DataFrame,
    heads: Sequence[str],
    conditions: Iterable[Condition],
    factors: Mapping[str, float],
    seed: int = 0,
) -> list[Comparison]:
    """Every recipe's heads against the main recipe's default head, on the networks both trained.

    A side is named "recipe" for its default head and "recipe + head" for a re-fit on top; the main
    recipe's own re-fits are there too, on the networks that another recipe trained. Empty with one
    recipe only.
    """
    base = main_recipe(models)
    others = [str(way) for way in models["recipe"].drop_duplicates() if way != base]
    if not others:
        return []
    network, recipe = (
        networks(models, factors),
        dict(zip(models["model"], models["recipe"], strict=True)),
    )
    rows = trajectories.assign(
        network=[network[name] for name in trajectories["model"]],
        recipe=[recipe[name] for name in trajectories["model"]],
    )
    elsewhere = {network[name] for name, way in recipe.items() if way in others}
    rows = rows.loc[rows["network"].isin(list(elsewhere)).to_numpy(bool), :]
    found = []
    for condition in conditions:
        sides: dict[Any, pd.DataFrame] = dict(
            list(condition.of(rows).groupby(["recipe", "head"], sort=False))
        )
        every = [(way, head) for way in (base, *others) for head in (DEFAULT, *heads)]
        for way, head in every[1:]:
            if (base, DEFAULT) in sides and (way, head) in sides:
                pairs = pair(sides[base, DEFAULT], sides[way, head], unit="network")
                name = str(way) if head == DEFAULT else f"{way} + {head}"
                if pairs.count:
                    found.append(compare(pairs, condition, str(base), name, seed))
    return corrected(found)
