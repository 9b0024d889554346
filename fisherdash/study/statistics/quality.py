"""What a re-fit does to errors, structure and sharpness: one number a model, paired over models.

Other remedies than a re-fit, as baselines: ways to train, paired by network and training data.

Two recipes are compared on networks that differ in the recipe alone: the same data, number of
frames, seed, architecture and, before the recipe's own factor, number of epochs. The main recipe's
default head is what everything is held against, so that "train longer" and "re-fit" stand side by
side.

What 100 ns of dynamics cost: measured seconds, and the failures to expect on the way.

Seconds come from the study's own dynamics on the device they ran on; nothing is converted from one
device to another. Failures come from a rate times a time. That a rate stays as it was in the second
half of a few picoseconds for ten thousand times as long is an assumption, not a measurement.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from fisherdash.study.statistics import comparison, pairing
from fisherdash.study.statistics.comparison import Comparison, Tested, compare, corrected
from fisherdash.study.statistics.failures import FailureRate
from fisherdash.study.statistics.pairing import DEFAULT, Condition, Estimate, pair
from fisherdash.study.statistics.when import rank_correlation


@dataclasses.dataclass(frozen=True)
class Change:
    """How a quantity changes from the default head to another, over models.

    Attributes:
        quantity: what, with its unit where it has one.
        head: the re-fit.
        condition: None for what needs no dynamics.
        default: median over the models with the default head.
        change: the ratio (geometric mean) or, for what may be zero, the mean difference.
        relative: whether ``change`` is a ratio.
        test: signed-rank over models.
    """

    quantity: str
    head: str
    condition: Condition | None
    default: float
    change: Estimate
    relative: bool
    test: Tested


def force_errors(heads: pd.DataFrame, names: Sequence[str], seed: int = 0) -> list[Change]:
    """Ratio of the force RMSE on frames that no model has seen, one a head."""
    column = "test_force_rmse_eV_per_A"
    return comparison.as_family(
        _changes(heads, column, names, "test force RMSE (eV/Å)", None, True, seed)
    )


def sharpness(heads: pd.DataFrame, names: Sequence[str], seed: int = 0) -> list[Change]:
    """Ratio of the sharpness of the loss; empty where it was not measured."""
    positive = heads.loc[(heads["sharpness_eV2"].astype(float) > 0).to_numpy(bool), :]
    return comparison.as_family(
        _changes(positive, "sharpness_eV2", names, "sharpness (eV²)", None, True, seed)
    )


def structure_errors(
    structure: pd.DataFrame, names: Sequence[str], conditions: Sequence[Condition], seed: int = 0
) -> list[Change]:
    """Difference of the error of h(r) under every condition, corrected together."""
    found = []
    for condition in conditions:
        rows = condition.of(structure)
        found += _changes(rows, "h_error", names, "error of h(r)", condition, False, seed)
    return comparison.as_family(found)


@dataclasses.dataclass(frozen=True)
class Sharp:
    """Rank correlation of sharpness with the mean lifetime over the models of one head."""

    head: str
    condition: Condition
    rank_correlation: Estimate
    test: Tested


def sharpness_and_life(
    heads: pd.DataFrame, trajectories: pd.DataFrame, conditions: Sequence[Condition], seed: int = 0
) -> list[Sharp]:
    """Whether sharper models die sooner, for every head that has a measured sharpness."""
    sharp = heads.pivot(index="model", columns="head", values="sharpness_eV2").astype(float)
    found = []
    for condition in conditions:
        rows = condition.of(trajectories)
        mean = rows.groupby(["head", "model"], sort=False)["lifetime_ps"].mean()
        for head in [name for name in rows["head"].drop_duplicates() if name in sharp]:
            table = pd.DataFrame({"sharp": sharp[head], "life": mean[head]}).dropna()
            if len(table):
                values = table["sharp"].to_numpy(float), table["life"].to_numpy(float)
                found.append(Sharp(str(head), condition, *rank_correlation(*values, seed)))
    return comparison.as_family(found)


def _changes(
    table: pd.DataFrame,
    column: str,
    names: Sequence[str],
    quantity: str,
    condition: Condition | None,
    relative: bool,
    seed: int,
) -> list[Change]:
    wide = table.pivot(index="model", columns="head", values=column).astype(float)
    found = []
    for head in [name for name in names if name in wide and DEFAULT in wide]:
        both = wide[[DEFAULT, head]].dropna().to_numpy()
        if not len(both):
            continue
        first, second = np.log(both.T) if relative else both.T
        effect = (second - first)[:, None]
        change = pairing.mean(effect, seed)
        found.append(
            Change(
                quantity=quantity,
                head=head,
                condition=condition,
                default=float(np.median(both[:, 0])),
                change=change.map(np.exp) if relative else change,
                relative=relative,
                test=Tested(comparison.over_models(effect)),
            )
        )
    return found


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


TARGET: Final = 100.0
"""ns"""
_STAGE: Final = r"^dynamics ([\d.]+) K\b"
_PS_PER_NS: Final = 1000.0


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of a device for TARGET ns under one condition.

    Attributes:
        device: as JAX names it.
        batch: trajectories of one model that ran together, median over the models.
        seconds: for one trajectory's share of TARGET ns in such a batch; median over the models.
        fastest, slowest: the same for the fastest and the slowest model.
        batch_seconds: until all trajectories of the batch have come to TARGET ns.
        models: measured.
    """

    device: str
    temperature: float
    batch: int
    seconds: float
    fastest: float
    slowest: float
    batch_seconds: float
    models: int

    def to_json(self) -> dict[str, Any]:
        """The numbers as they are."""
        return dataclasses.asdict(self)


def costs(timings: pd.DataFrame, trajectories: pd.DataFrame, heads: pd.DataFrame) -> list[Cost]:
    """One entry for every device and temperature with measured dynamics, the coldest first.

    A head that kept the default one (as ``heads`` says) has trajectories without having been run.
    """
    if not len(trajectories):
        return []
    kelvin = timings["stage"].astype(str).str.extract(_STAGE, expand=False).astype(float)
    spent = timings.assign(temperature_K=kelvin).dropna(subset=["temperature_K"])
    spent = spent.groupby(["temperature_K", "device", "model"])["seconds"].sum().reset_index()
    kept = heads.loc[(heads["kept_default"] == 1).to_numpy(bool), ["model", "head"]]
    copies = {(model, head) for model, head in kept.itertuples(index=False)}
    whose = zip(trajectories["model"], trajectories["head"], strict=True)
    ran = trajectories.loc[[one not in copies for one in whose], :].groupby(
        ["model", "temperature_K"]
    )["duration_ps"]
    sizes = pd.DataFrame({"batch": ran.size(), "ps": ran.sum()}).reset_index()
    joined = spent.merge(sizes, on=["model", "temperature_K"])
    kinds = joined[["temperature_K", "device"]].drop_duplicates().itertuples(index=False)
    return [_cost(joined, float(temperature), str(device)) for temperature, device in kinds]


def _cost(joined: pd.DataFrame, temperature: float, device: str) -> Cost:
    same = (joined["temperature_K"] == temperature) & (joined["device"] == device)
    rows = joined.loc[same.to_numpy(bool), :]
    per_ps = rows["seconds"].to_numpy(float) / rows["ps"].to_numpy(float)
    share, batch = per_ps * TARGET * _PS_PER_NS, rows["batch"].to_numpy(float)
    return Cost(
        device=device,
        temperature=temperature,
        batch=int(np.median(batch)),
        seconds=float(np.median(share)),
        fastest=float(share.min()),
        slowest=float(share.max()),
        batch_seconds=float(np.median(share * batch)),
        models=len(rows),
    )


@dataclasses.dataclass(frozen=True)
class Expected:
    """Failures to expect in TARGET ns, if the rate of the runs' second half goes on."""

    head: str
    condition: Condition
    failures: Estimate


def expected_failures(rates: Sequence[FailureRate]) -> list[Expected]:
    """One entry for every rate."""
    return [
        Expected(one.head, one.condition, one.late.map(lambda rate: rate * TARGET)) for one in rates
    ]
