"""Threads that compute have less of the processor than threads that serve pages."""

import os
import subprocess
import sys
import threading

import pytest

from fisherdash.background import NICENESS
from fisherdash.workspace import jobs

linux = pytest.mark.skipif(sys.platform != "linux", reason="niceness of a thread is Linux's own")

HOLES = """
import ctypes, numpy as np
from fisherdash.background import give_back, few_arenas
few_arenas()
def used():
    return int(open("/proc/self/statm").read().split()[1]) * 4 // 1024
blocks = [np.ones(3000) for _ in range(8000)]  # 183 MiB, too small for the system's own pages
last, before = blocks[-1], used()
del blocks
kept = used()
give_back()
print(before, kept, used())
"""

PROGRAM = """
import os, threading
from fisherdash.background import wake_devices
wake_devices()
for thread in threading.enumerate():
    if thread.name == "devices":
        thread.join()
import jax
jax.block_until_ready(jax.jit(lambda x: x @ x)(jax.numpy.ones((256, 256))))
nice = [os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")]
print(os.getpriority(os.PRIO_PROCESS, os.getpid()), sum(n >= 10 for n in nice))
"""


@linux
def test_a_job_steps_back_and_who_asked_for_it_does_not():
    def work(cancel: threading.Event):
        yield os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    job = jobs.submit("test", "niceness", work)
    assert job.wait(30) and job.latest == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before < NICENESS


@linux
def test_memory_in_holes_goes_back_to_the_system():
    words = [sys.executable, "-c", HOLES]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    before, kept, after = map(int, answer.stdout.split())
    assert before - after > 150, "MiB"
    assert kept > before - 30, "the allocator would have given it back by itself"


@linux
def test_the_threads_that_compute_have_stepped_back():
    words = [sys.executable, "-c", PROGRAM]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    pages, computing = map(int, answer.stdout.split())
    assert pages < NICENESS
    assert computing >= len(os.sched_getaffinity(0)), "JAX's own threads inherit it"
