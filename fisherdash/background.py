"""Low-priority computation, so that pages stay responsive, and the cache of compiled programs.

On Linux every thread has its own niceness and passes it on to the threads that it starts. JAX
starts its worker threads when it is first used, so the first thread that uses it sets the priority
of all of them.

Compiled programs are kept on disk, so that a second start compiles nothing. JAX keys the entries by
program, compiler options, version and device; the cache is bounded and drops the entries that were
not used for longest.
"""

import contextlib
import ctypes
import functools
import gc
import os
import threading

from fisherdash import storage
from fisherdash.errors import InputError

NICENESS = 10

MAX_BYTES = 1_000_000_000
"""Of compiled programs on disk."""

MOST_PROGRAMS = 40
"""Compiled programs that a process holds. One of the loop of dynamics takes some 25 MiB, and every
number of replicas is another one; the cache on disk gives them back in half a second."""

_WORTH_COUNTING = 0.02
"""Seconds that it takes at least to compile or load a program that is large."""

_ARENA_MAX = -8
"""glibc's number of that setting."""

_COMPILED = "/jax/core/compile/backend_compile_duration"
"""What JAX calls the event; also sent for programs that come from the disk."""


def step_back() -> None:
    """Lower the priority of the calling thread and of the threads that it will start."""
    with contextlib.suppress(OSError, AttributeError):  # no such thing on this system
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@functools.cache
def wake_devices() -> None:
    """Let a low-priority thread be the first to use JAX and SciPy's tests; returns at once."""
    threading.Thread(target=_first, name="devices", daemon=True).start()


def few_arenas() -> None:
    """Limit glibc to two pools of memory, before there are threads; elsewhere this does nothing.

    glibc would give every thread its own, up to eight for each core, and each keeps its holes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def give_back() -> None:
    """Return the memory of what is no longer used to the system; takes about a tenth of a second.

    JAX would keep every compiled program, so its caches are cleared once there are many. Loading
    programs leaves hundreds of MiB of holes in glibc's allocator, which keeps them unless asked.
    """
    _programs.clear_if_many()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class _Programs:
    """Counts the large programs that JAX has compiled or loaded since its caches were cleared."""

    count = 0

    def heard(self, event: str, duration_secs: float, **_: object) -> None:
        """Called by JAX for whatever took a while."""
        self.count += event == _COMPILED and duration_secs >= _WORTH_COUNTING

    def clear_if_many(self) -> None:
        """Clear JAX's caches when there are too many; running programs are not harmed."""
        if self.count > MOST_PROGRAMS:
            import jax

            jax.clear_caches()
            self.count = 0


_programs = _Programs()


def _first() -> None:
    step_back()
    import jax
    import scipy.stats  # noqa: F401 - a second, for which the first statistics would wait

    jax.local_devices()
    # What was imported stays; a collection need not look at it again.
    gc.collect()
    gc.freeze()


@functools.cache
def keep_compilations() -> None:
    """Switches the cache on: JAX_COMPILATION_CACHE_DIR, or a bounded one in the workspace.

    A place that was named is used as it is: JAX's bounded cache fails for good in a folder to which
    a process without a bound has written. Where the workspace cannot be written, everything works
    as before and compiles each time. A process that keeps its programs on disk need not hold them
    all: :func:`give_back` counts them.
    """
    import jax

    jax.monitoring.register_event_duration_secs_listener(_programs.heard)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        with contextlib.suppress(InputError):  # programs hold nobody's data: all users share them
            place = storage.made(storage.everybodys() / "cache") / "jax"
            jax.config.update("jax_compilation_cache_dir", str(place))
            jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
