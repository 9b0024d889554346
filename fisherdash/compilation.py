"""Compiled programs are kept on disk, so that the second start of the same work compiles nothing.

JAX keys the entries by program, compiler options and version and by device; the cache is bounded
and the entries that were not used for longest go first.
"""

import contextlib
import functools
import os

import jax

from fisherdash.background import count_programs
from fisherdash.errors import InputError
from fisherdash.runs import people
from fisherdash.runs.workspace import folder

MAX_BYTES = 1_000_000_000


@functools.cache
def keep_compilations() -> None:
    """Switches the cache on, in the workspace unless JAX_COMPILATION_CACHE_DIR names a place.

    Where the workspace cannot be written, everything works as before and compiles each time. A
    process that keeps them on disk need not hold them all: :mod:`fisherdash.background` counts.
    """
    count_programs()
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        with contextlib.suppress(InputError):
            _keep_in_workspace()
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _keep_in_workspace() -> None:
    with people.acting_for(people.EVERYBODY):  # programs hold nobody's data
        jax.config.update("jax_compilation_cache_dir", str(folder("cache") / "jax"))
