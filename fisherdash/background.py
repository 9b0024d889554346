"""Computation that leaves the processor, and the memory, to whoever waits for a page.

On Linux every thread has its own niceness and hands it on to the threads that it starts. JAX starts
those that compute when it is first used, so who uses it first decides for all of them.

Compiled programs are kept on disk, so that the second start of the same work compiles nothing.

JAX keys the entries by program, compiler options and version and by device; the cache is bounded
and the entries that were not used for longest go first.
"""

import contextlib
import ctypes
import functools
import gc
import os
import threading

from fisherdash.errors import InputError
from fisherdash.workspace import users
from fisherdash.workspace.paths import folder

NICENESS = 10

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
    """The calling thread, and threads that it starts, take what others leave of the processor."""
    with contextlib.suppress(OSError, AttributeError):  # no such thing on this system
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@functools.cache
def wake_devices() -> None:
    """Let a thread that has stepped back be the first to use JAX; returns at once."""
    threading.Thread(target=_first, name="devices", daemon=True).start()


def few_arenas() -> None:
    """Let all threads share two pools of memory, before there are threads; does nothing elsewhere.

    glibc would give every thread its own, up to eight for each core, and each keeps its holes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def give_back() -> None:
    """Return the memory of what is no longer used to the system; takes about a tenth of a second.

    Programs that JAX holds go first, once they are many: it would keep all of them for ever.
    Loading them leaves hundreds of MiB of holes in the allocator of glibc, which keeps them unless
    it is asked.
    """
    _programs.let_go_of_many()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class _Programs:
    """How many large programs JAX has compiled or loaded since they were last let go."""

    def __init__(self) -> None:
        self.count = 0

    def heard(self, event: str, duration_secs: float, **_: object) -> None:
        """JAX tells of something that took a while."""
        self.count += event == _COMPILED and duration_secs >= _WORTH_COUNTING

    def let_go_of_many(self) -> None:
        """Forget all of them when they are too many; what runs or is needed again is not harmed."""
        if self.count > MOST_PROGRAMS:
            import jax

            jax.clear_caches()
            self.count = 0


_programs = _Programs()


@functools.cache
def count_programs() -> None:
    """Let :func:`give_back` know how many compiled programs there are; imports JAX."""
    import jax

    jax.monitoring.register_event_duration_secs_listener(_programs.heard)


def _first() -> None:
    step_back()
    import jax

    jax.local_devices()
    # What was imported stays; a collection need not look at it again.
    gc.collect()
    gc.freeze()


MAX_BYTES = 1_000_000_000


@functools.cache
def keep_compilations() -> None:
    """Switches the cache on, in the workspace unless JAX_COMPILATION_CACHE_DIR names a place.

    Where the workspace cannot be written, everything works as before and compiles each time. A
    process that keeps them on disk need not hold them all: :mod:`fisherdash.background` counts.
    """
    import jax

    count_programs()
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        with contextlib.suppress(InputError):
            _keep_in_workspace()
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _keep_in_workspace() -> None:
    import jax

    with users.acting_for(users.EVERYBODY):  # programs hold nobody's data
        jax.config.update("jax_compilation_cache_dir", str(folder("cache") / "jax"))
