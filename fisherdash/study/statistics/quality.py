"""What a re-fit does to errors, structure and sharpness: one number a model, paired over models."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.study.statistics import bootstrap, significance
from fisherdash.study.statistics.bootstrap import Estimate
from fisherdash.study.statistics.pairing import DEFAULT, Condition
from fisherdash.study.statistics.significance import Tested
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
    return significance.as_family(
        _changes(heads, column, names, "test force RMSE (eV/Å)", None, True, seed)
    )


def sharpness(heads: pd.DataFrame, names: Sequence[str], seed: int = 0) -> list[Change]:
    """Ratio of the sharpness of the loss; empty where it was not measured."""
    positive = heads.loc[(heads["sharpness_eV2"].astype(float) > 0).to_numpy(bool), :]
    return significance.as_family(
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
    return significance.as_family(found)


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
    return significance.as_family(found)


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
        change = bootstrap.mean(effect, seed)
        found.append(
            Change(
                quantity=quantity,
                head=head,
                condition=condition,
                default=float(np.median(both[:, 0])),
                change=change.map(np.exp) if relative else change,
                relative=relative,
                test=Tested(significance.over_models(effect)),
            )
        )
    return found
