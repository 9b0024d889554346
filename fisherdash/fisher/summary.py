"""A re-fit as numbers for a script: the keys promised to it, and the details behind them."""

import dataclasses
from typing import Any

from fisherdash.fisher.refit import Refit


def summary(refit: Refit) -> dict[str, Any]:
    """The promised keys; divergence and errors are those on held-out frames, units in the names."""
    test = refit.boltzmann
    boltzmann = test and {
        "temperature_K": test.temperature,
        "temperature_stderr_K": test.stderr,
        "consistent": test.consistent,
    }
    return {
        "method": refit.prepared.options.method,
        "ridge": refit.ridge,
        "condition_number": refit.condition_number,
        "effective_rank": refit.effective_rank,
        "head_norm": refit.head_norm,
        "fisher_divergence": refit.fisher_divergence,
        "force_rmse_eV_per_A": refit.force_rmse,
        "boltzmann": boltzmann,
        "kl_eV": refit.kl and {name: found.value for name, found in refit.kl.items()},
    }


def details(refit: Refit) -> dict[str, Any]:
    """All the rest that a re-fit knows.

    How sure the choice of the ridge is, the posterior, the path, the spectrum, the head's weights,
    the temperature of each descriptor, and the runs behind a stability-aware choice.
    """
    choice, test, spread = refit.choice, refit.boltzmann, refit.posterior
    fitted, chose, reported = refit.frames
    return {
        "verdict": refit.verdict,
        "warnings": refit.warnings,
        "frames": {"fit": fitted, "ridge": chose, "report": reported},
        "energy_rmse_eV": refit.energy_rmse,
        "force_rmse_change": dataclasses.asdict(refit.force_change),
        "ridge_rule": choice.rule,
        "ridge_interval": None if choice.low is None else [choice.low, choice.high],
        "kl_effective_frames": refit.kl
        and {name: found.effective_frames for name, found in refit.kl.items()},
        "posterior": spread
        and {
            "force_stderr_eV_per_A": spread.force_stderr,
            "half_difference_eV_per_A": spread.half_difference,
            "half_cosine": spread.half_cosine,
            "scale": spread.scale,
        },
        "boltzmann_descriptors": test
        and {
            "temperature_K": test.per_descriptor,
            "stderr_K": test.per_descriptor_stderr,
            "p_value": test.p_descriptors,
        },
        "stability": _stability(refit),
        "descent": refit.descent
        and {
            "steps": refit.descent.steps,
            "distance": refit.descent.distance,
            "excess_eV2_per_A2": refit.descent.excess,
            "converged": refit.descent.converged,
        },
        "eigenvalues": refit.eigenvalues,
        "head": {"default": refit.prepared.start.head, "fisher": refit.checkpoint.head},
        "path": [dataclasses.asdict(point) for point in refit.path],
    }


def _stability(refit: Refit) -> dict[str, Any] | None:
    check = refit.stability
    return check and {
        "picoseconds": check.picoseconds,
        "temperature_K": check.temperature,
        "confirmed": check.confirmed if check.confirmation else None,
        "tried": [dataclasses.asdict(one) for one in check.tried],
        "confirmation": [dataclasses.asdict(one) for one in check.confirmation],
    }
