"""How many models it takes to see an effect of a given size.

The effects of single models scatter by s around their mean: real differences between models and the
noise of finitely many replicas together, as the study had them. A test on M models then has the
power of Student's t-test with an effect of size/s (statsmodels); the signed-rank test needs about
5 % more models where the scatter is normal, and fewer where it has long tails.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from fisherdash.analyse.intervals import FEWEST

POWER: Final = 0.8
ALPHA: Final = 0.05


@dataclasses.dataclass(frozen=True)
class Power:
    """What a study of so many models can see.

    Attributes:
        models: of the study.
        spread: standard deviation of the models' effects, in the unit of the effect.
        detectable: smallest true mean effect that is found with 80 % probability.
        alpha: significance level that this holds for.
    """

    models: int
    spread: float
    detectable: float
    alpha: float

    def to_json(self) -> dict[str, Any]:
        """The numbers as they are."""
        return dataclasses.asdict(self)


def power(effects: Float[np.ndarray, " models"], alpha: float = ALPHA) -> Power | None:
    """What could be seen with these models' effects (NaN: a model without one).

    None with fewer than FEWEST models or where all effects are the same.
    """
    effects = effects[np.isfinite(effects)]
    spread = float(np.std(effects, ddof=1)) if len(effects) >= FEWEST else 0.0
    if spread == 0.0:
        return None
    return Power(len(effects), spread, _detectable(len(effects), alpha) * spread, alpha)


def models_needed(spread: float, sizes: Sequence[float], alpha: float = ALPHA) -> list[int]:
    """Number of models for 80 % power at each true mean effect, all positive; at least FEWEST."""
    from statsmodels.stats.power import TTestPower  # slow to import

    found = []
    for size in sizes:
        relative = min(size / spread, 2.0)  # more than that is seen by the fewest models anyway
        count = TTestPower().solve_power(effect_size=relative, nobs=None, alpha=alpha, power=POWER)
        found.append(max(FEWEST, math.ceil(float(np.ravel(count)[0]))))
    return found


@functools.cache
def _detectable(models: int, alpha: float) -> float:
    """Effect in standard deviations that so many models show with 80 % probability."""
    from statsmodels.stats.power import TTestPower  # slow to import

    found = TTestPower().solve_power(effect_size=None, nobs=models, alpha=alpha, power=POWER)
    return float(found)
