"""The closed-form re-fit of the last layer by score matching, and its diagnostics."""

from fisherdash.fisher.diagnostics import (
    Boltzmann,
    Posterior,
    boltzmann_test,
    force_stderr,
    halved,
    kl_divergence,
    posterior,
)
from fisherdash.fisher.moments import Equations, Metric, Moments, accumulate, equations
from fisherdash.fisher.refit import Prepared, Refit
from fisherdash.fisher.ridge import (
    Choice,
    Descent,
    RidgePoint,
    choose,
    descend,
    gcv,
    head_at,
    log_evidence,
    ridge_path,
)
from fisherdash.fisher.solve import prepare, solve, summary
from fisherdash.fisher.stability import Candidate, candidates, check_stability
from fisherdash.settings import Options, StabilitySettings
