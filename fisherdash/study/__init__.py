"""Populations of models: specified in a TOML file, run anywhere, kept in small tables.

``spec`` reads the file and its primary question, ``plan`` makes members and units of it, keeps
their results and estimates what they take, ``stages`` does one unit, ``run`` does them all, here or
on Dask, and ``tables`` is what comes out.
"""

from fisherdash.study.plan import estimate_of, open_plan, read_begun
from fisherdash.study.run import (
    Progress,
    check_scheduler,
    prepare_study,
    read_progress,
    run_study,
)
from fisherdash.study.spec import Spec, read_spec
from fisherdash.study.tables import Tables, read_tables, write_tables
