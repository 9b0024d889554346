"""Whole models are read without torch, and whatever a file asks for, nothing of it runs."""

import builtins
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.potentials import inert
from fisherdash.potentials.inert import Named, Record, Tensor, machine, records
from tests.potentials import torchfile
from tests.potentials.torchfile import Fn, Obj, Writer, module, saved

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def refused(data: bytes) -> str:
    """The sentence, which must come soon."""
    begun = time.perf_counter()
    with pytest.raises(InputError) as caught:
        inert.load_bytes(data, "the file")
    sentence = str(caught.value)
    assert time.perf_counter() - begun < 10 and "\n" not in sentence and len(sentence) < 1300
    return sentence


def test_a_module_becomes_a_record_with_its_tensors_and_parts():
    part = module("torch.nn.Linear", parameters={"weight": NUMBERS, "bias": None}, size=4)
    told = {"activation": Fn("torch.nn.functional.silu"), "names": ["a", ("b", 2.5)]}
    model = inert.load_bytes(saved(module("package.sub.Model", parts={"first": part}, **told)))
    assert isinstance(model, Record) and (model.name, model.kind) == ("package.sub.Model", "Model")
    assert model.get("activation") == Named("torch.nn.functional.silu")
    assert model.get("names") == ["a", ("b", 2.5)] and model.get("none", 7) == 7
    first = model.parts()["first"]
    assert first is model.get("first") and first.get("bias") is None and first.get("size") == 4
    np.testing.assert_array_equal(first.get("weight").array(), NUMBERS)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_containers_of_every_protocol(protocol):
    value = {"a": [1, -3, 2**40, 1.5, None, True], (1, "k"): ("x" * 300, "y"), 3: {4: []}}
    if protocol > 2:  # which writes bytes as a call
        value["b"] = b"bytes"
    assert inert.load_bytes(torchfile.archive(pickle.dumps(value, protocol))) == value
    for strange in ({1, 2}, frozenset({1}), complex(1, 2), Path("a")):
        found = inert.load_bytes(torchfile.archive(pickle.dumps(strange, protocol)))
        assert isinstance(found, Record)


def test_shared_and_cyclic_parts_stay_what_they_are():
    ring: list = [1]
    ring.append(ring)
    found = inert.load_bytes(torchfile.archive(pickle.dumps([ring, ring], 2)))
    assert found[0] is found[1] and found[0][1] is found[0]


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "b1"])
def test_numbers_of_every_kind(dtype):
    value = np.arange(6).reshape(2, 3).astype(dtype)
    found = inert.load_bytes(saved(value))
    assert isinstance(found, Tensor) and found.array().dtype == value.dtype
    np.testing.assert_array_equal(found.array(), value)


def test_a_tensor_may_be_a_part_of_its_storage_in_another_order():
    writer = Writer()
    writer.rebuilt(NUMBERS, 1, (3, 2), (4, 2), 12)
    found = inert.load_bytes(torchfile.archive(bytes(writer.code) + b".", writer.arrays))
    np.testing.assert_array_equal(found.array(), NUMBERS[:, 1::2])
    scalar = inert.load_bytes(saved(np.array(2.5)))
    assert scalar.shape == () and scalar.array() == 2.5
    assert inert.load_bytes(saved(np.zeros((0, 3)))).array().shape == (0, 3)


# What a file may try. ---------------------------------------------------------------------------


class Evil:
    """Asks for a call when it is unpickled."""

    def __init__(self, function, *args):
        self.asked = function, args

    def __reduce__(self):
        return self.asked


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """Where an attack would leave its mark; asserts that there is none."""
    mark = tmp_path / "mark"
    monkeypatch.setenv("MARK", str(mark))
    yield mark
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrapped", ["alone", "in a module"])
def test_calls_are_written_down_and_never_made(untouched, protocol, wrapped, monkeypatch):
    def never(*args, **more):
        raise AssertionError("something was called")

    attacks = [
        Evil(os.system, f"touch {untouched}"),
        Evil(builtins.eval, f"open({str(untouched)!r}, 'w')"),
        Evil(builtins.exec, f"open({str(untouched)!r}, 'w')"),
        Evil(builtins.getattr, os, "system"),
        Evil(builtins.__import__, "antigravity"),
        Evil(Path.touch, untouched),
        Evil(subprocess.Popen, ["touch", str(untouched)]),
    ]
    programs = [pickle.dumps([one] if wrapped == "alone" else {"_modules": {"a": one}}, protocol)
                for one in attacks if one.asked[1][:1] != (os,)]  # fmt: skip
    monkeypatch.setattr(os, "system", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    before = set(sys.modules)
    for program in programs:
        found = inert.load_bytes(torchfile.archive(program))
        inner = found[0] if wrapped == "alone" else found["_modules"]["a"]
        assert isinstance(inner, Record)
    assert "antigravity" not in set(sys.modules) - before


def test_state_that_would_run_on_filling_stays_state(untouched):
    # __setstate__, __dict__ and slots of a class are only names here.
    program = pickle.dumps(Obj("os._wrap_close", {"__class__": 1, "__setstate__": 2}), 2)
    assert isinstance(inert.load_bytes(torchfile.archive(program)), Record)
    found = inert.load_bytes(saved(Obj("os.system", {"__reduce__": "x", "_modules": 3})))
    assert isinstance(found, Record) and found.parts() == {} and found.get("anything") is None


@pytest.mark.parametrize(
    "program",
    [
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x01\x00\x00\x00xo.",  # OBJ
        b"\x82\x01.",  # EXT1
        b"Ppid\n.",  # PERSID of protocol 0
        b"\x97.",  # out-of-band buffers
        b"I10\n.",
    ],
)
def test_instructions_that_no_model_needs_are_refused(program):
    assert "which no model of torch needs" in refused(torchfile.archive(b"\x80\x02" + program))


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x00.",
        b"R.",
        b"cos\nsystem\nR.",
        b"K\x01K\x02R.",
        b"X\x01\x00\x00\x00a)R.",  # a string is "called"
        b"K\x01)\x81.",
        b"]K\x01b.",
        b"K\x01K\x02a.",
        b"K\x01K\x02K\x03s.",
        b"](K\x01u.",
        b"}(K\x01u.",
        b"}]K\x01s.",  # a list as a key
        b"}(((ttK\x01u.",  # a tuple of tuples as a key
        b"K\x01(0t.",
        b"(K\x01.",
        b"h\x07.",
        b"j\xff\xff\xff\xff.",
        b"q\x01.",
        b"K\x01K\x02\x93.",
        b"X\xff\xff\xff\xffab.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        b"\x8a\xff" + bytes(255) + b".",  # a number of 2,040 bits
        b"\x8b\xff\xff\xff\x7f1.",
        b"\x8b\xff\xff\xff\xff1.",
        b"c" + b"a" * 400 + b"\nb\n.",
        b"cabc",
        b"K\x01Q.",
        b"(X\x07\x00\x00\x00storageK\x01K\x01K\x01K\x01tQ.",
    ],
)
def test_programs_that_are_none(program):
    refused(torchfile.archive(program))


def tensor_that_claims(offset, shape, strides, size):
    writer = Writer()
    writer.rebuilt(NUMBERS, offset, shape, strides, size)
    return torchfile.archive(bytes(writer.code) + b".", writer.arrays)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ((0, (10**9,), (1,), 12), "do not fit"),
        ((0, (10**9,), (0,), 12), "do not fit"),  # one number, repeated
        ((0, (10**9, 10**9), (0, 0), 12), "do not fit"),
        ((0, (0, 10**12), (1, 1), 12), ""),
        ((0, (3, 4), (4, 2), 12), "do not fit"),
        ((1, (3, 4), (4, 1), 12), "do not fit"),
        ((-1, (3, 4), (4, 1), 12), "do not fit"),
        ((0, (3, 4), (-4, 1), 12), "do not fit"),
        ((0, (-3, -4), (4, 1), 12), "do not fit"),
        ((0, (3, 4), (4,), 12), "do not fit"),
        ((0, (1,) * 40, (1,) * 40, 12), "do not fit"),
        ((0, (3.0, 4), (4, 1), 12), "do not fit"),
        ((0, (3, 4), (4, 1), 10**9), "48 bytes"),
        ((0, (3, 4), (4, 1), 11), "48 bytes"),
        ((0, (3, 4), (4, 1), -12), "48 bytes"),
        ((0, ("a",), (1,), 12), "do not fit"),
    ],
)
def test_tensors_that_are_not_in_the_file(claim, expected):
    data = tensor_that_claims(*claim)
    if expected:
        assert expected in refused(data)
    else:
        assert inert.load_bytes(data).array().size == 0


def test_a_tensor_of_a_storage_that_is_not_there():
    data = saved(NUMBERS).replace(b"model/data/0", b"model/data/9")
    assert "which has no bytes" in refused(data)


def test_kinds_of_numbers_that_numpy_does_not_have_are_refused_when_they_are_asked_for():
    writer = Writer()
    writer.tensor(NUMBERS)
    program = bytes(writer.code).replace(b"torch\nFloatStorage", b"torch\nBFloat16Storage") + b"."
    tensor = inert.load_bytes(torchfile.archive(program, writer.arrays))
    with pytest.raises(InputError, match="BFloat16Storage"):
        tensor.array()


@pytest.mark.parametrize("inner", [b"]", b"(", b"}", b"cos\nsystem\n)\x81"])
def test_deep_nesting_takes_neither_the_stack_nor_time(inner):
    depth = 150_000
    if inner == b"(":
        program = b"(" * depth + b"t" * depth + b"."
    elif inner == b"]":
        program = b"]" * depth + b"a" * (depth - 1) + b"."
    elif inner == b"}":
        program = b"}K\x01" * depth + b"Ns" + b"s" * (depth - 1) + b"."
    else:
        program = inner * depth + b"b" * (depth - 1) + b"."
    found = inert.load_bytes(torchfile.archive(b"\x80\x02" + program))
    assert len(repr(type(found))) < 200
    del found


def test_endless_and_enormous_programs():
    assert "more than" in refused(torchfile.archive(b"N0" * machine.MOST_INSTRUCTIONS))
    assert "at most" in refused(torchfile.archive(b"N" * (machine.MOST_BYTES + 1)))


def test_bombs_of_the_memo_cost_no_memory():
    # Each list holds the one before ten times: 10^n leaves for whoever would walk through them.
    def list_of(n: int) -> bytes:
        return b"](" + (b"h" + bytes([n])) * 10 + b"eq" + bytes([n + 1]) + b"0"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layers = b"]q\x000" + b"".join(map(list_of, range(60)))
    found = inert.load_bytes(torchfile.archive(b"\x80\x02" + layers + b"h\x3c."))
    assert isinstance(found, list) and len(found) == 10
    # A dictionary cannot be made again and again out of one long list of pairs.
    pairs = b"](" + b"K\x01K\x02\x86" * 50_000 + b"e\x85q\x010"
    again = b"ccollections\nOrderedDict\nq\x020" + b"h\x02h\x01R0" * 50_000
    found = inert.load_bytes(torchfile.archive(b"\x80\x02" + pairs + again + b"h\x02h\x01R."))
    assert isinstance(found, Record)
    # Nor is a long key hashed again and again.
    long_key = b"(" + b"K\x01" * 100_000 + b"tq\x000}" + b"h\x00Ns" * 100_000
    assert "with a key" in refused(torchfile.archive(b"\x80\x02" + long_key + b"."))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 400_000  # kB


def test_a_zip_bomb_is_not_unpacked():
    program = pickle.dumps(bytes(50_000_000), 4)
    assert "compressed" in refused(torchfile.archive(program, kind=zipfile.ZIP_DEFLATED))
    assert "compressed" in refused(saved(np.zeros(10**6), zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(share):
    data = saved(module("a.B", parameters={"weight": NUMBERS}))
    refused(data[: int(share * len(data))])


def test_archives_that_lie():
    data = bytearray(saved(NUMBERS))
    at = data.index(records._CENTRAL)
    for offset, value in ((20, 2**31), (24, 2**31), (42, 2**31), (42, len(data) - 3), (28, 60_000)):
        lying = data.copy()
        lying[at + offset : at + offset + 4] = struct.pack("<I", value)
        refused(bytes(lying))
    end = len(data) - 22
    for offset, value in ((10, 60_000), (8, 1), (12, 2**31), (16, 2**31), (4, 1)):
        lying = data.copy()
        lying[end + offset : end + offset + 2] = struct.pack("<H", value & 0xFFFF)
        refused(bytes(lying))
    twice = io.BytesIO(bytes(data))
    with pytest.warns(UserWarning), zipfile.ZipFile(twice, "a") as file:
        file.writestr("model/data.pkl", b"N.")
    assert "two entries" in refused(twice.getvalue())


def test_damaged_numbers_are_noticed():
    data = bytearray(saved(NUMBERS))
    data[data.index(NUMBERS.tobytes()) + 5] ^= 1
    tensor = inert.load_bytes(bytes(data))
    with pytest.raises(InputError, match="checksum"):
        tensor.array()


def test_other_files_are_named_for_what_they_are_not():
    assert "no model that torch wrote" in refused(b"")
    assert "no model that torch wrote" in refused(pickle.dumps({"a": 1}))
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    assert "data.pkl" in refused(stream.getvalue())
    assert "byte order" in refused(torchfile.archive(b"N.", byteorder=b"big"))
