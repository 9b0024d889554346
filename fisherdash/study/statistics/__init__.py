"""Statistics of a population of models: pure functions of the tables of a study.

Trajectories of one model are alike, so every interval draws models before replicas, every claim is
tested over models, and every p-value that is shown beside others is corrected for them. Survival is
read first, drift given survival.
"""

from fisherdash.study.statistics.comparison import (
    DEFAULT,
    VERDICTS,
    Comparison,
    Condition,
    Tested,
)
from fisherdash.study.statistics.failures import KINDS, FailureRate, survival
from fisherdash.study.statistics.findings import Findings
