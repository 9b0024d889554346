"""The closed-form re-fit of the last layer by score matching, and what it says about itself."""

from fisherdash.fisher.boltzmann import Boltzmann, boltzmann_test
from fisherdash.fisher.choice import RULES, WORDS, Choice, Rule, choose
from fisherdash.fisher.descent import Descent, descend
from fisherdash.fisher.equations import Equations, Spectrum, equations
from fisherdash.fisher.kl import Divergence, kl_divergence
from fisherdash.fisher.moments import Moments, accumulate, accumulate_groups
from fisherdash.fisher.options import HEAD_FORMS, METHODS, HeadForm, Method, Options
from fisherdash.fisher.posterior import Posterior, force_stderr, posterior
from fisherdash.fisher.refit import Prepared, Refit
from fisherdash.fisher.ridge import RidgePoint, gcv, head_at, log_evidence, ridge_path
from fisherdash.fisher.solve import prepare, solve, try_heads
from fisherdash.fisher.stability import (
    StabilityCheck,
    StabilitySettings,
    Tried,
    candidates,
    check_stability,
)

__all__ = [
    "HEAD_FORMS",
    "METHODS",
    "RULES",
    "WORDS",
    "Boltzmann",
    "Choice",
    "Descent",
    "Divergence",
    "Equations",
    "HeadForm",
    "Method",
    "Moments",
    "Options",
    "Posterior",
    "Prepared",
    "Refit",
    "RidgePoint",
    "Rule",
    "Spectrum",
    "StabilityCheck",
    "StabilitySettings",
    "Tried",
    "accumulate",
    "accumulate_groups",
    "boltzmann_test",
    "candidates",
    "check_stability",
    "choose",
    "descend",
    "equations",
    "force_stderr",
    "gcv",
    "head_at",
    "kl_divergence",
    "log_evidence",
    "posterior",
    "prepare",
    "ridge_path",
    "solve",
    "try_heads",
]
