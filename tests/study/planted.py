"""A population with known effects: times to failure from hazards, log-normal drifts, in pairs.

Every model has a hazard of its own and, for every head, a hazard ratio and a ratio of drift of its
own around the planted ones. Both heads of a pair share part of their luck, as they do when they
start from the same state.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from fisherdash.study.tables import COLUMNS, Tables

SHARED_LUCK = 0.6
"""Rank correlation, about, of the times to failure of one pair."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """Of a head: means over models of ln hazard ratio and ln drift ratio, and their spreads."""

    hazard: float = 0.0
    drift: float = 0.0
    hazard_spread: float = 0.3
    drift_spread: float = 0.3


NONE = Effect()
HEADS = {
    "plain": Effect(hazard=0.9, drift=-0.3),
    "held-out": Effect(hazard=-0.4, drift=-0.2),
    "stable": Effect(hazard=-0.7, drift=-0.4),
    "force-free": NONE,
}


@dataclasses.dataclass(frozen=True)
class SurvivalData:
    """Times to failure, failures, drifts (NaN for the failed), each (heads, models, replicas)."""

    time_to_failure: np.ndarray
    failed: np.ndarray
    drift: np.ndarray


def survival_data(
    rng: np.random.Generator,
    effects: Sequence[Effect],
    models: int = 48,
    replicas: int = 24,
    horizon: float = 10.0,
    hazard: float = 0.06,
    hazard_spread: float = 0.8,
) -> SurvivalData:
    """The default head and one for every effect; hazard in 1/ps, horizon in ps."""
    everything = [Effect(hazard_spread=0.0, drift_spread=0.0), *effects]
    shape = (len(everything), models, replicas)
    base = np.log(hazard) + hazard_spread * rng.standard_normal(models)
    change = [one.hazard + one.hazard_spread * rng.standard_normal(models) for one in everything]
    own, shared = rng.standard_normal(shape), rng.standard_normal(shape[1:])
    luck = np.sqrt(SHARED_LUCK) * shared + np.sqrt(1 - SHARED_LUCK) * own
    waited = -norm.logsf(luck) / np.exp(base + change)[..., None]
    failed = waited < horizon
    ratio = [one.drift + one.drift_spread * rng.standard_normal(models) for one in everything]
    level = np.log(0.05) + 0.5 * rng.standard_normal(models) + ratio
    size = np.exp(level[..., None] + 0.4 * rng.standard_normal(shape))
    drift = size * rng.choice([-1.0, 1.0], shape)
    return SurvivalData(np.minimum(waited, horizon), failed, np.where(failed, np.nan, drift))


def tables(
    seed: int = 0,
    effects: dict[str, Effect] = HEADS,
    models: int = 48,
    replicas: int = 24,
    temperatures: tuple[float, ...] = (500.0, 1000.0),
    horizon: float = 10.0,
    epochs: int = 60,
) -> Tables:
    """All tables of a planted study; better models explode less and are helped less."""
    rng = np.random.default_rng(seed)
    names = [f"m{k:03d}" for k in range(models)]
    frames = rng.choice([200, 400, 800, 1400], models)
    error = 6.0 / np.sqrt(frames) * np.exp(0.3 * rng.standard_normal(models))
    made = pd.DataFrame(
        {
            "model": names, "data": "ethanol", "recipe": "plain", "frames": frames,
            "seed": np.arange(models), "features": 8, "max_degree": 1, "iterations": 2, "basis": 8,
            "epochs": epochs, "parameters": 3000, "atoms": 9, "degrees_of_freedom": 21,
            "diverged": (np.arange(models) % 17 == 16).astype(int),
            "train_force_rmse_eV_per_A": 0.8 * error, "valid_force_rmse_eV_per_A": 0.95 * error,
            "test_force_rmse_eV_per_A": error, "test_force_mae_eV_per_A": 0.7 * error,
            "test_energy_mae_eV": 0.1 * error,
        }
    )  # fmt: skip
    runs = [
        _rows(names, head, kelvin, side, found, horizon)
        for kelvin in temperatures
        for found in [
            survival_data(rng, [*effects.values()], models, replicas, horizon, 6e-5 * kelvin)
        ]
        for side, head in enumerate(["default", *effects])
    ]
    trajectories = pd.concat(runs, ignore_index=True)
    return Tables(
        models=made[list(COLUMNS["models"])],
        losses=_losses(rng, names, error, epochs),
        heads=_heads(rng, names, error, ["default", *effects]),
        trajectories=trajectories[list(COLUMNS["trajectories"])],
        curves=_curves(trajectories, rng, horizon),
        structure=_structure(trajectories, rng),
        timings=pd.DataFrame(
            [
                [name, f"dynamics {kelvin:g} K", 20.0 + rng.random(), "TFRT_CPU_0"]
                for name in names
                for kelvin in temperatures
            ],
            columns=list(COLUMNS["timings"]),
        ),
    )


def _rows(names, head, kelvin, side, found, horizon):
    replicas = found.failed.shape[2]
    failed = found.failed[side].ravel()
    causes = np.where(np.arange(failed.size) % 3, "bond", "clash")
    return pd.DataFrame(
        {
            "model": np.repeat(names, replicas), "head": head, "temperature_K": kelvin,
            "timestep_fs": 0.5, "replica": np.tile(np.arange(replicas), len(names)),
            "duration_ps": horizon, "time_to_failure_ps": found.time_to_failure[side].ravel(),
            "failed": failed.astype(int),
            "drift_meV_per_atom_per_ps": found.drift[side].ravel(),
            "fluctuation_meV_per_atom": np.where(failed, np.nan, 0.5),
            "failure": np.where(failed, causes, None),
            "reference_energy_sd": np.where(failed, np.nan, 0.1),
        }
    )  # fmt: skip


def _losses(rng, names, error, epochs):
    epoch = np.arange(1, epochs + 1)
    rows = []
    for number, (name, last) in enumerate(zip(names, error, strict=True)):
        end = epochs // 2 if number % 17 == 16 else epochs
        train = (last**2) * (1 + 30 * np.exp(-epoch / (0.15 * epochs)))
        noise = np.exp(0.1 * rng.standard_normal((2, epochs)))
        rows.append(
            pd.DataFrame(
                {
                    "model": name, "epoch": epoch, "train_loss_eV2": train * noise[0],
                    "valid_loss_eV2": 1.2 * train * noise[1],
                }
            )[:end]
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _heads(rng, names, error, heads):
    rows = []
    for place, head in enumerate(heads):
        growth = 1.0 if place == 0 else 10.0 ** (2 * rng.random(len(names)))
        rows.append(
            pd.DataFrame(
                {
                    "model": names, "head": head, "ridge": np.nan if place == 0 else 1e-6,
                    "kept_default": 0, "condition_number": 1e8,
                    "head_norm_eV": 0.3 * growth * np.ones(len(names)),
                    "test_force_rmse_eV_per_A": error * (1.0 if place == 0 else 0.95),
                    "test_force_mae_eV_per_A": 0.7 * error * (1.0 if place == 0 else 0.95),
                    "sharpness_eV2": np.nan,
                }
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)[list(COLUMNS["heads"])]


def _curves(trajectories, rng, horizon, points=40):
    times = np.linspace(0.0, horizon, points)
    keys = ["model", "head", "temperature_K", "timestep_fs"]
    rows = []
    for key, part in trajectories.groupby(keys, sort=False):
        ends = np.where(part["failed"] == 1, part["time_to_failure_ps"], np.inf)
        survivors = (ends[:, None] > times).sum(axis=0)
        middle = np.cumsum(0.02 * rng.standard_normal(points))
        middle[survivors == 0] = np.nan
        table = {
            "time_ps": times, "survivors": survivors, "low_meV_per_atom": middle - 0.05 * times,
            "median_meV_per_atom": middle, "high_meV_per_atom": middle + 0.05 * times,
        }  # fmt: skip
        rows.append(pd.DataFrame(dict(zip(keys, key, strict=True)) | table))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS["curves"])]


def _structure(trajectories, rng):
    keys = ["model", "head", "temperature_K", "timestep_fs"]
    found = trajectories[keys].drop_duplicates()
    extra = {
        "h_error": 0.1 + 0.02 * rng.random(len(found)), "h_floor": 0.02, "frames": 500,
    }  # fmt: skip
    return found.assign(**extra)[list(COLUMNS["structure"])]
