"""Computation that leaves the processor, and the memory, to whoever waits for a page.

On Linux every thread has its own niceness and hands it on to the threads that it starts. JAX starts
those that compute when it is first used, so who uses it first decides for all of them.
"""

import contextlib
import ctypes
import functools
import gc
import os
import threading

NICENESS = 10
_ARENA_MAX = -8
"""glibc's number of that setting."""


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

    Loading compiled programs leaves hundreds of MiB of holes in the allocator of glibc, which keeps
    them unless it is asked.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _first() -> None:
    step_back()
    import jax

    jax.local_devices()
    # What was imported stays; a collection need not look at it again.
    gc.collect()
    gc.freeze()
