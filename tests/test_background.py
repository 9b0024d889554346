"""Computing leaves the processor to pages; compiled programs are kept, within bounds."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

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


@pytest.mark.slow
@linux
def test_memory_in_holes_goes_back_to_the_system():
    words = [sys.executable, "-c", HOLES]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    before, kept, after = map(int, answer.stdout.split())
    assert before - after > 150, "MiB"
    assert kept > before - 30, "the allocator would have given it back by itself"


@pytest.mark.slow
@linux
def test_the_threads_that_compute_have_stepped_back():
    words = [sys.executable, "-c", PROGRAM]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    pages, computing = map(int, answer.stdout.split())
    assert pages < NICENESS
    assert computing >= len(os.sched_getaffinity(0)), "JAX's own threads inherit it"


CACHE = "JAX_COMPILATION_CACHE_DIR"
SIMULATION = """
import collections, json
import jax, numpy as np
from fisherdash.background import MAX_BYTES, keep_compilations
keep_compilations()
events = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: events.update([name]))
from fisherdash.potentials import e3x
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.md import MDSettings, simulate
config = e3x.ModelConfig(features=4, max_degree=1, iterations=1, basis=4)
weights = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), e3x.body_shapes(config))
water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
data = Dataset(water[None], np.zeros(1), np.zeros((1, 3, 3)), np.array([8, 1, 1]))
head = 1e-3 * np.ones(4)
checkpoint = Checkpoint(e3x.E3x(config), weights, head, np.zeros(119), (1, 8), name="x")
chunks = list(simulate({"x": checkpoint}, data, MDSettings(replicas=2, steps=3, record_every=1)))
print(json.dumps({"frames": sum(len(chunk.times) for chunk in chunks),
    "hits": events["/jax/compilation_cache/cache_hits"],
    "misses": events["/jax/compilation_cache/cache_misses"],
    "bounded": jax.config.jax_compilation_cache_max_size == MAX_BYTES}))
"""


def start(**places: Path) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != CACHE}
    environment |= {name: str(place) for name, place in places.items()}
    words = [sys.executable, "-c", SIMULATION]
    answer = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("place", [CACHE, "FISHERDASH_WORKSPACE"])
def test_a_second_start_of_the_same_work_compiles_nothing(place, tmp_path):
    first, second = start(**{place: tmp_path}), start(**{place: tmp_path})
    assert first["frames"] == second["frames"] == 4
    assert first["misses"] > 0
    assert second["misses"] == 0 and second["hits"] >= first["misses"]
    assert first["bounded"] == (place != CACHE), "a place that was named belongs to others too"


MANY = """
import json
import jax
from fisherdash import background
from fisherdash.background import keep_compilations
from fisherdash.workspace import jobs
from fisherdash.md import MDSettings, simulate
from fisherdash.settings import ModelConfig
from tests import networks
from tests.randomised import random_checkpoint
keep_compilations()
background.MOST_PROGRAMS = 3
small = ModelConfig(features=4, max_degree=0, iterations=1, basis=4)
checkpoint, data = random_checkpoint(small), networks.water()
jax.clear_caches()  # of what making them took
background._programs.count = 0
held, ends = [], []
def work(replicas):
    settings = MDSettings(replicas=replicas, steps=3, record_every=1)
    return lambda cancel: simulate({"x": checkpoint}, data, settings)
for replicas in (1, 2, 3, 4, 5, 1):
    job = jobs.submit("test", "a shape", work(replicas))
    assert job.wait(120) and job.status == "finished", job.error
    ends.append(float(job.latest.positions[-1].sum()))
    # What the worker does after a job, here where it can be waited for.
    background.give_back()
    held.append(len(jax.local_devices()[0].client.live_executables()))
print(json.dumps({"held": held, "ends": ends}))
"""


@pytest.mark.slow
def test_a_process_holds_a_bounded_number_of_programs(tmp_path):
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", MANY]
    answer = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    held = found["held"]
    assert held == [1, 2, 3, 0, 1, 2], "each shape is kept until they are more than three"
    assert found["ends"][0] == found["ends"][-1] != found["ends"][1], "forgotten, loaded, the same"
