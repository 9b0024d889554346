"""Tests over models, within a model, and the correction for asking many questions.

What is claimed of models in general is tested over models, one number each: F. Wilcoxon's
signed-rank test (Biometrics Bull. 1, 80 (1945)). Within a model, the sign test asks of the replicas
from the same starts which head lived longer. The log-rank test, stratified by model (each model has
a hazard of its own), speaks of these very models only: it does not know that others would differ.
Families of questions are corrected after S. Holm (Scand. J. Stat. 6, 65 (1979)).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import scipy
from jaxtyping import Float

from fisherdash.analyse.intervals import FEWEST
from fisherdash.study.statistics.pairing import Paired

SIGNIFICANT: Final = 0.05


@dataclasses.dataclass(frozen=True)
class Tested:
    """A p-value as it came (None where it could not be computed) and within its family."""

    raw: float | None
    corrected: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the test rejects after correction (before it, if none was made)."""
        p = self.raw if self.corrected is None else self.corrected
        return p is not None and p < SIGNIFICANT


class _HasTest(Protocol):
    @property
    def test(self) -> Tested: ...


_Finding = TypeVar("_Finding", bound=_HasTest)


def model_means(values: Float[np.ndarray, "models replicas"]) -> Float[np.ndarray, " models"]:
    """The mean of each model's pairs; NaN for a model without any."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(1))


def over_models(values: Float[np.ndarray, "models replicas"]) -> float | None:
    """Signed-rank p-value that the models' means lie around zero; None with too few models.

    Models whose two sides are alike say nothing and are left out; with none left, p is 1.
    """
    means = model_means(values)
    return signed_rank(means[np.isfinite(means)])


def signed_rank(effects: Float[np.ndarray, " models"]) -> float | None:
    """Signed-rank p-value of finite numbers, one a model; None with too few."""
    if len(effects) < FEWEST:
        return None
    if not np.any(effects):
        return 1.0
    test: Any = scipy.stats.wilcoxon(effects)
    return float(test.pvalue)


def sign_test(values: Float[np.ndarray, "models replicas"]) -> Float[np.ndarray, " models"]:
    """Exact two-sided sign test within each model; 1 where no pair differs."""
    up, down = (values > 0).sum(axis=1), (values < 0).sum(axis=1)
    return np.minimum(1.0, 2.0 * scipy.stats.binom.cdf(np.minimum(up, down), up + down, 0.5))


def logrank(pairs: Paired) -> float | None:
    """Stratified log-rank p-value of equal survival on both sides; None without a death."""
    from statsmodels.duration.survfunc import survdiff  # slow to import

    known = np.isfinite(pairs.died[0])
    died = pairs.died[:, known]
    if not died.any():
        return None
    model = np.nonzero(known)[0]
    side = np.repeat([0, 1], len(model))
    found = survdiff(
        pairs.lifetime[:, known].ravel(),
        died.ravel().astype(int),
        side,
        strata=np.tile(model, 2),
    )
    return float(found[1]) if np.isfinite(found[1]) else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected p-values of one family; what could not be tested is no part of it.

    The numbers are those of statsmodels' ``multipletests``, which collects all of Python's garbage
    at every call and so takes longer than the rest of a page.
    """
    known = np.array([p for p in p_values if p is not None])
    order = np.argsort(known)
    steps = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    found = iter(np.minimum(steps, 1.0)[np.argsort(order)].tolist())
    return [None if p is None else next(found) for p in p_values]


def as_family(found: Sequence[_Finding]) -> list[_Finding]:
    """The same findings (dataclasses with a ``test``), their tests corrected as one family."""
    p_values = holm([one.test.raw for one in found])
    return [
        dataclasses.replace(one, test=Tested(one.test.raw, p))  # type: ignore[type-var]
        for one, p in zip(found, p_values, strict=True)
    ]
