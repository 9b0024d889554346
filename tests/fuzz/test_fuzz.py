"""Whatever comes in is read or refused with a sentence; nothing else happens, nothing grows.

The long run of this is ``python tools/fuzz.py``; here are a few seconds of it, and what Hypothesis
makes up, which it reduces to a small example when something is wrong.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import flax.serialization
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.fuzz import seeds
from tests.fuzz.readers import READERS

# Numbers at the edge of double precision overflow on their way to being refused.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]

FEW = {"query": 4, "frame": 30}
"""Inputs of readers that draw a page or open a socket for each."""

FAST = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read(name):
    reader = READERS[name]
    chances = [
        reader.example(0, index)[1] for index in range(1 if name in FEW else 40)
    ]  # some name the right format
    taken = [any(reader.read(data, chance) for chance in chances) for data in reader.files]
    without_forces = {"structures": 2, "xyz": 1}
    assert sum(taken) == len(taken) - without_forces.get(name, 0)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name):
    reader, refused = READERS[name], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(FEW.get(name, 150)):
            refused += not reader.read(*reader.example(1000, index))
    assert refused > 50 or name in ("names", *FEW)


def test_the_same_seed_gives_the_same_damage():
    reader = READERS["checkpoint"]
    assert reader.example(3, 17)[0] == reader.example(3, 17)[0] != reader.example(4, 17)[0]


_ARRAYS = npst.arrays(
    dtype=st.one_of(npst.floating_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(),
                    npst.boolean_dtypes(), npst.unicode_string_dtypes(max_len=5),
                    npst.complex_number_dtypes(), npst.datetime64_dtypes()),
    shape=npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)  # fmt: skip


@FAST
@given(
    layout=st.sampled_from(seeds.npz_layouts()),
    key=st.integers(0, 9),
    other=_ARRAYS,
    compressed=st.booleans(),
)
def test_any_array_may_stand_in_an_npz(layout, key, other, compressed):
    arrays = dict(layout)
    arrays[list(arrays)[key % len(arrays)]] = other
    reader = READERS["npz"]
    reader.read(seeds.npz(arrays, compressed), reader.example(0, key)[1])


_TREES = st.recursive(
    st.one_of(_ARRAYS.filter(lambda array: array.dtype.kind in "fiu"), st.none(), st.integers(0, 9),
              st.text(max_size=5), st.binary(max_size=5)),
    lambda inner: st.dictionaries(
        st.sampled_from(["params", "Embed_0", "embedding", "element_bias", "MessagePass_0",
                         "Dense_2", "kernel", "filter", "0+", "__msgpack_chunked_array__",
                         "shape", "chunks", "0"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@FAST
@given(tree=_TREES)
def test_any_tree_may_stand_in_a_parameter_file(tree):
    reader = READERS["tutorial"]
    reader.read(flax.serialization.msgpack_serialize(tree), reader.example(0, 0)[1])


@FAST
@given(name=st.text(max_size=200))
def test_any_text_may_be_a_name(name):
    READERS["names"].read(name.encode("utf-8", "ignore"), READERS["names"].example(0, 0)[1])


@FAST
@given(data=st.binary(max_size=400), name=st.sampled_from(sorted(READERS)))
def test_any_bytes_may_be_a_file(data, name):
    READERS[name].read(data, READERS[name].example(0, len(data))[1])


@pytest.mark.validate
def test_a_hundred_thousand_inputs():
    script = Path(__file__).resolve().parents[2] / "tools" / "fuzz.py"
    command = [sys.executable, str(script), "--inputs", "100000", "--seed", "0"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    print(answer.stdout)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.splitlines()[-1] == "0 failures"
