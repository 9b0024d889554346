"""Damage: what happens to a file by accident, and what is done to it on purpose.

Every function takes a ``random.Random`` and gives other bytes; the same state, the same bytes.
"""

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import msgpack
import numpy as np

from tests.fuzz import seeds

Damage = Callable[[random.Random, bytes], bytes]

_NUMBERS = ("-1", "0", "999999999", "1000000000000", "99999999999999999999", "1e999", "nan", "-inf",
            "0x10", "1_0", "٣", "3.0", "")  # fmt: skip
_TEXTS = ("__import__('os').abort()", "../../../../etc/passwd", "a\0b", "\u202e", "💥", "<b>x</b>",
          "'", '"', "{", "[" * 2000, "object", "|O", "<U999999999", "datetime64", "float128",
          "1", "true", "null", " ", "\r\n", "\n\n", "=" * 50, "x" * 5000)  # fmt: skip
_INTEGERS = (0, 1, 127, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def damaged(chance: random.Random, sound: Sequence[bytes], special: Sequence[Damage]) -> bytes:
    """One damaged file: made on purpose by the kind's own way, or by a few general accidents."""
    data = chance.choice(sound)
    if special and chance.random() < 0.5:
        data = chance.choice(special)(chance, data)
        if chance.random() < 0.7:
            return data
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        data = chance.choice(GENERAL)(chance, data)
        if chance.random() < 0.05:
            data = splice(chance, data, chance.choice(sound))
    return data


def _at(chance: random.Random, data: bytes) -> int:
    """A place, more often near the beginning or the end, where headers are."""
    size = max(1, len(data))
    where = chance.random()
    if where < 0.4:
        return min(int(chance.expovariate(1 / 60)), size - 1)
    return size - 1 - int(chance.random() ** 3 * size) if where < 0.6 else chance.randrange(size)


def flip(chance: random.Random, data: bytes) -> bytes:
    """One bit."""
    if not data:
        return data
    at = _at(chance, data)
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    """Only the beginning."""
    return data[: _at(chance, data)]


def remove(chance: random.Random, data: bytes) -> bytes:
    """A piece out of the middle."""
    at = _at(chance, data)
    return data[:at] + data[at + 1 + int(chance.expovariate(1 / 20)) :]


def repeat(chance: random.Random, data: bytes) -> bytes:
    """A piece many times."""
    at = _at(chance, data)
    piece = data[at : at + 1 + int(chance.expovariate(1 / 40))]
    return data[:at] + piece * chance.choice((2, 3, 50, 1000)) + data[at:]


def insert(chance: random.Random, data: bytes) -> bytes:
    """Words that a parser may take for something else."""
    at = _at(chance, data)
    return data[:at] + chance.choice(_TEXTS).encode() + data[at:]


def integer(chance: random.Random, data: bytes) -> bytes:
    """A count of four or eight bytes becomes absurd."""
    at, value = _at(chance, data), chance.choice(_INTEGERS)
    size, order = chance.choice(("1", "4", "8")), chance.choice("<>")
    code = {"1": "B", "4": "I", "8": "Q"}[size]
    raw = struct.pack(order + code, value & (2 ** (8 * int(size)) - 1))
    return data[:at] + raw + data[at + len(raw) :]


def number(chance: random.Random, data: bytes) -> bytes:
    """A number that is written out becomes absurd."""
    at = _at(chance, data)
    start = next((i for i in range(at, min(at + 200, len(data))) if data[i : i + 1].isdigit()), at)
    end = start
    while end < len(data) and data[end : end + 1] in b"0123456789.eE+-" and end < start + 30:
        end += 1
    return data[:start] + chance.choice(_NUMBERS).encode() + data[end:]


def splice(chance: random.Random, one: bytes, other: bytes) -> bytes:
    """The head of one file on the rest of another."""
    return one[: _at(chance, one)] + other[_at(chance, other) :]


GENERAL: tuple[Damage, ...] = (flip, flip, cut, remove, repeat, insert, integer, number)


def array(chance: random.Random, value: Any) -> Any:
    """Another array in the place of this one: type, shape or content."""
    value = np.asarray(value)
    way = chance.randrange(11)
    if way == 0 and value.dtype.kind in "iuf":
        return value.astype(chance.choice(("f2", "f4", "i1", "u8", "S3", "U5", "c16", "?")))
    if way == 1:
        return value.reshape(-1)[: chance.choice((0, 1, 2))]
    if way == 2:
        return value[None] if chance.random() < 0.5 else value.T
    if way == 3:
        return np.array([{"a": 1}, None, value], dtype=object)
    if way == 4 and value.dtype.kind == "f" and value.size:
        broken = value.copy().reshape(-1)
        broken[chance.randrange(value.size)] = chance.choice(
            (np.nan, np.inf, 1e308, -1e308, 1e-320)
        )
        return broken.reshape(value.shape)
    if way == 5:
        return np.broadcast_to(np.zeros((), value.dtype), (3, 0, 3))
    if way == 6 and value.dtype.kind in "iu":
        return value.astype("i8") - chance.choice((1, 8, 300, -200))
    if way == 7:
        return np.array(chance.choice(_TEXTS))
    if way == 8:
        return np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])
    if way == 9:
        return np.repeat(value, chance.choice((2, 100)), axis=0) if value.ndim else value
    return np.zeros((chance.choice((1, 5_000)), chance.choice((3, 400)), 3), "i1")


def npz_made(chance: random.Random, data: bytes) -> bytes:
    """An npz of a known layout with arrays that do not belong there."""
    arrays = dict(chance.choice(seeds.npz_layouts()))
    for _ in range(chance.choice((1, 1, 2, 3))):
        key = chance.choice(list(arrays) or ["R"])
        way = chance.random()
        if way < 0.7:
            arrays[key] = array(chance, arrays.get(key, 0))
        elif way < 0.85:
            arrays.pop(key, None)
        else:
            arrays[chance.choice(_TEXTS)[:50].replace("\0", "") or "k"] = np.zeros(2)
    return seeds.npz(arrays, compressed=chance.random() < 0.5)


def zip_made(chance: random.Random, data: bytes) -> bytes:
    """A zip that lies: about sizes, with a header that was written by hand, or within itself."""
    stream = io.BytesIO()
    kind = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
                          zipfile.ZIP_LZMA))  # fmt: skip
    with zipfile.ZipFile(stream, "w", kind) as file:
        for name in ("R.npy", "E.npy", "F.npy", "z.npy"):
            shape = chance.choice(("(4, 3, 3)", "(1000000000000, 9, 3)", "(-1,)", "()", "(3",
                                   "(True,)", "(4.0, 3)", "(0, 10000000000)"))  # fmt: skip
            code = chance.choice(("<f8", "|O", "<U99999999", "[('a', '<f8')]", "<i8", "V0"))
            code = code if code.startswith("[") else repr(code)
            text = f"{{'descr': {code}, 'fortran_order': False, 'shape': {shape}, }}"
            head = b"\x93NUMPY" + bytes([chance.choice((1, 2, 3, 9)), 0])
            head += struct.pack("<H", len(text)) + text.encode()
            body = bytes(chance.choice((0, 8, 288, 300, 1_000_000)))
            file.writestr(name, data if chance.random() < 0.1 else head + body)
    made = stream.getvalue()
    if chance.random() < 0.3 and b"PK\x01\x02" in made:
        at = made.index(b"PK\x01\x02") + chance.choice((20, 24, 42))
        made = made[:at] + struct.pack("<I", chance.choice((0, 2**31, 2**32 - 2))) + made[at + 4 :]
    return made


def safetensors_made(chance: random.Random, data: bytes) -> bytes:
    """A header whose JSON is sound and whose content is not."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        place = header["__metadata__"] if chance.random() < 0.6 else header
        key = chance.choice(list(place))
    except (ValueError, LookupError, TypeError):
        return data
    values = ("{}", "[]", "null", "3", '"x"', "[" * 3000, '[1, "C"]', '{"a": NaN}', "[1e999]",
              json.dumps({"features": 10**12, "max_degree": 3, "iterations": 8, "basis": 128,
                          "cutoff": 1e308}),
              json.dumps({"features": 4, "max_degree": 1, "iterations": 1, "basis": 4,
                          "cutoff": float("nan")}),
              json.dumps({"features": 1024, "max_degree": 3, "iterations": 8, "basis": 128,
                          "cutoff": 3.0}), *_TEXTS)  # fmt: skip
    way = chance.random()
    if place is header["__metadata__"]:
        place[key] = chance.choice(values) if way < 0.9 else chance.choice((1, None, [1], {}))
    elif way < 0.5 and isinstance(place[key], dict):
        place[key] = place[key] | chance.choice((
            {"dtype": chance.choice(("F64", "I64", "BF16", "BOOL", "F8_E4M3", "X"))},
            {"shape": [10**6, 10**6]}, {"shape": [0, 4]}, {"shape": [-1]},
            {"data_offsets": [0, 2**62]}, {"data_offsets": [8, 0]},
        ))  # fmt: skip
    elif way < 0.75:
        place[chance.choice(("body", "body/", "body/a/b/c", "head/x", "", "/", "body/Embed_0"))] = (
            place.pop(key)
        )
    else:
        place.pop(key)
    raw = json.dumps(header).encode()
    size = chance.choice((len(raw),) * 8 + (0, 2**40, len(raw) - 1))
    return size.to_bytes(8, "little") + raw + data[8 + length :]


def msgpack_made(chance: random.Random, data: bytes) -> bytes:
    """A tree of parameters with wrong leaves, and arrays that claim what they are not."""

    def leaf(shape: Any, dtype: Any, content: bytes) -> msgpack.ExtType:
        return msgpack.ExtType(chance.choice((1, 1, 1, 2, 3, 77)),
                               msgpack.packb((shape, dtype, content)))  # fmt: skip

    def pack(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: pack(inner) for key, inner in value.items()}
        if chance.random() < 0.12:
            return chance.choice((
                leaf([10**6, 10**6], "float32", b"1234"), leaf([-1], "float32", bytes(16)),
                leaf([2], "object", bytes(16)), leaf([1], "S99999999", b"x"),
                leaf([0, 10**12], "float32", b""), leaf("x", 3, b""), None, [1, 2], 3.5, "text",
                leaf([4], "bfloat16", bytes(8)), leaf([2, 2], "complex64", bytes(32)),
                leaf([1, 1], "datetime64[s]", bytes(8)),
                {"__msgpack_chunked_array__": True, "shape": {"0": 10**12}, "chunks": {}},
                {"__msgpack_chunked_array__": True}, {str(n): {} for n in range(3)},
            ))  # fmt: skip
        return leaf(value.shape, value.dtype.name, value.tobytes())

    tree: Any = pack(seeds.tutorial_tree())
    if chance.random() < 0.1:
        for _ in range(chance.choice((5, 400, 2000))):
            tree = {"params": tree}
    try:
        return msgpack.packb(tree)
    except (ValueError, RecursionError):
        return data


_CODES = (b"N", b"]", b"}", b")", b"(", b"t", b"R", b"b", b"s", b"u", b"a", b"e", b"0", b"1", b"2",
          b"\x81", b"\x85", b"\x87", b"h\x00", b"q\x00", b"K\xff", b"Q", b"cos\nsystem\n", b"\x94",
          b"X\x02\x00\x00\x00_m", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
          b"G" + b"\xff" * 8)  # fmt: skip


def pickle_made(chance: random.Random, data: bytes) -> bytes:
    """A whole model whose description is another, in an archive that is sound again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return data
    for name in list(entries):
        if name.endswith("data.pkl"):
            program = entries[name]
            for _ in range(chance.choice((1, 1, 2, 5))):
                at = chance.randrange(1 + len(program))
                if chance.random() < 0.5:
                    skipped = at + chance.choice((0, 1, 2, 9))
                    program = program[:at] + chance.choice(_CODES) + program[skipped:]
                else:
                    program = chance.choice(GENERAL)(chance, program)
            entries[name] = program
        elif chance.random() < 0.05:
            entries[name] = chance.choice((b"", bytes(4), entries[name] * 2, b"\xff" * 40))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return stream.getvalue()


def traj_made(chance: random.Random, data: bytes) -> bytes:
    """An ASE trajectory whose table of frames, sizes or descriptions are others."""
    if len(data) < 56 or not data.startswith(b"- of Ulm"):
        return flip(chance, data)
    version, items, start = struct.unpack("<qqq", data[24:48])
    way = chance.randrange(4)
    if way == 0:  # one frame named many times
        first = data[start : start + 8]
        table = first * chance.choice((2, 100, 20_000))
        head = data[:24] + struct.pack("<qqq", version, len(table) // 8, len(data))
        return head + data[48:] + table
    if way == 1:  # another number in the head or in the table
        at = 24 + 8 * chance.randrange(3 + max(1, min(items, 8)))
        return data[:at] + struct.pack("<Q", chance.choice(_INTEGERS)) + data[at + 8 :]
    at = data.rfind(b"{")
    if way == 2:  # another description of the last frame, of any length
        odd = (*_TEXTS, 1e308, None, [[[1]]], {"ndarray": [3, "x", -1]})
        name = chance.choice(("cell", "pbc", "calculator.", "positions."))
        atoms = {"ndarray": [[chance.choice(_INTEGERS)], "int64", 56]}
        text = json.dumps({"numbers.": atoms, name: chance.choice(odd)})
        return data[: at - 8] + struct.pack("<q", len(text)) + text.encode()
    return data[:at] + number(chance, data[at:])


def xyz_made(chance: random.Random, data: bytes) -> bytes:
    """Comment lines and counts of an XYZ file, written by somebody who knows the parser."""
    lines = data.split(b"\n")
    row = chance.choice((0, 1, 2))
    lines[row : row + 1] = [chance.choice((
        b"1000000000000", b"-3", b"3 4", b" 3 ", b"0", b"2", b"999999999",
        b"Properties=species:S:1:pos:R:999999999:forces:R:3 energy=1",
        b"Properties=pos:R:3:species:S:1 energy=nan", b"Properties=species:S:1:pos:R:3:forces:R:0",
        b"Properties=species:I:1:pos:R:3", b"Properties=Z:I:1:pos:R:3:forces:R:3 energy=1e999",
        b"energy=[[[[[[[[[[[[1]]]]]]]]]]]] pbc=\"T T\"", b'Lattice="0 0 0 0 0 0 0 0 0" pbc=T',
        b'Lattice="1e-300 0 0 0 1e-300 0 0 0 1e-300" pbc="T T T" energy=1', b"\xff\xfe\x00",
        b'Lattice="_JSON [1,2]" energy=_JSON {"a":1}', b"a=" + b"[" * 3000, b"=" * 3000,
        b"energy=True forces=None", b"comment with \x1b[31m\x07", b"a" * 100_000,
        b"O 1e308 1e308 1e308 1 1 1", b"O nan nan nan 1 1 1", b"X 0 0 0 0 0 0",
    ))]  # fmt: skip
    return b"\n".join(lines)


def line_made(chance: random.Random, data: bytes) -> bytes:
    """An output of a program with lines lost, doubled, exchanged, or with other numbers in them."""
    lines = data.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 5))):
        row, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        way = chance.randrange(6)
        if way == 0:
            del lines[row : row + chance.choice((1, 1, 3, 10))]
        elif way == 1:
            lines[row:row] = lines[other : other + chance.choice((1, 5, 50))]
        elif way == 2:
            lines[row], lines[other] = lines[other], lines[row]
        elif way == 3:
            lines[row] = number(chance, lines[row])
        elif way == 4:
            lines = lines[: row + 1]
        else:
            lines[row] = (
                b"   ions per type =  99999999999 1" if chance.random() < 0.3 else b"*" * 80
            )
        lines = lines or [b""]
    return b"\n".join(lines)


def packed_made(chance: random.Random, data: bytes) -> bytes:
    """A packed file or an archive whose content is damaged, or which is a bomb."""
    text = chance.choice(seeds.xyz_files() + seeds.structure_files() + seeds.output_files())
    if chance.random() < 0.7:
        text = chance.choice((*GENERAL, line_made))(chance, text)
    if chance.random() < 0.02:
        text = bytes(100 * 2**20) if chance.random() < 0.5 else text[:100] * 500_000
    way = chance.randrange(7)
    if way < 3:
        return (gzip.compress, bz2.compress, lzma.compress)[way](text)
    names = [chance.choice(("x.xyz", "a/OUTCAR", "../../x.xyz", "/etc/x.xyz", "x.gz", "a\0b.xyz",
                            "w-pos-1.xyz", "w-frc-1.xyz", "x" * 3000, "__MACOSX/x.xyz"))
             for _ in range(chance.choice((1, 1, 2, 3)))]  # fmt: skip
    if way == 3:
        return seeds.archive(dict.fromkeys(names, text), "tar")
    if way == 4:
        return gzip.compress(seeds.archive(dict.fromkeys(names, text), "tar"))
    if way == 5:
        return seeds.archive(dict.fromkeys(names, text))
    files = seeds.deepmd()
    for _ in range(chance.choice((1, 1, 2))):
        key = chance.choice(list(files))
        if chance.random() < 0.3:
            files.pop(key, None)
        elif key.endswith("npy") and chance.random() < 0.5:
            stream = io.BytesIO()
            np.save(stream, array(chance, np.load(io.BytesIO(seeds.deepmd()[key]))))
            files[key] = stream.getvalue()
        else:
            files[key] = chance.choice(GENERAL)(chance, files.get(key, b"0"))
        files = files or {"type.raw": b""}
    return seeds.archive(files)


def hdf5_made(chance: random.Random, data: bytes) -> bytes:
    """An HDF5 file with arrays that do not belong there, links, or chunks that are not there."""
    groups = {path: dict(arrays) for path, arrays in chance.choice(seeds.hdf5_groups()).items()}
    for _ in range(chance.choice((1, 1, 2))):
        arrays = groups[chance.choice(list(groups))]
        key = chance.choice(list(arrays) or ["R"])
        if chance.random() < 0.2:
            arrays.pop(key, None)
        else:
            made = array(chance, arrays.get(key, 0))
            arrays[key] = "text" if made.dtype.kind in "OUSM" else made
    stream = io.BytesIO(seeds.hdf5(groups))
    with h5py.File(stream, "a") as file:
        way = chance.randrange(8)
        if way == 0:
            file["link"] = h5py.SoftLink("/link")
            file["out"] = h5py.ExternalLink("/etc/passwd", "/")
        elif way == 1:
            file["gdb/round"] = file
        elif way == 2:
            shape = chance.choice(((10**9, 3, 3), (10**5, 100, 3), (2**40,)))
            group = file.require_group(next(iter(groups)))
            group.pop("coordinates", None)
            group.create_dataset("coordinates", shape, "f8", chunks=True, compression="gzip")
        elif way == 3:
            file.attrs["energy_unit"] = chance.choice(_TEXTS).replace("\0", "")
    return stream.getvalue()


def database_made(chance: random.Random, data: bytes) -> bytes:
    """An ASE data base with other values in its table, or another table in its place."""
    base = sqlite3.connect(":memory:")
    base.deserialize(seeds.database(chance.random() < 0.5))
    column = chance.choice(("numbers", "positions", "energy", "data", "key_value_pairs", "pbc"))
    values = (
        None,
        1e999,
        -1,
        b"",
        b"\0" * 8,
        bytes(72),
        b"\xff" * 24,
        "x",
        "[" * 3000,
        (8).to_bytes(8, "little") + b"[" * 2000,
        b'{"energy": 1}',
        (8).to_bytes(8, "little") + b'{"energy":{"__ndarray__":[[9999999999],"float64",0]}}',
        (8).to_bytes(8, "little") + b'{"forces":{"__ndarray__":[[3,3],"object",0]}}',
        (8).to_bytes(8, "little") + b'{"forces":{"__ndarray__":[[-3,3],"float64",-80]}}',
    )
    try:
        if chance.random() < 0.8:
            where = "" if chance.random() < 0.5 else " WHERE id = 2"
            base.execute(f"UPDATE systems SET {column} = ?{where}", (chance.choice(values),))
        else:
            base.execute("ALTER TABLE systems RENAME TO s")
            base.executescript(chance.choice((
                "CREATE VIEW systems AS SELECT * FROM s, s AS b, s AS c",
                "CREATE TABLE systems (id INTEGER, numbers BLOB)",
                "CREATE VIEW systems AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
                "FROM c) SELECT x AS id, zeroblob(1000000000) AS numbers FROM c",
                "CREATE TABLE systems AS SELECT id, zeroblob(5000000) AS numbers FROM s",
                "CREATE TABLE systems (id INTEGER, numbers BLOB AS (zeroblob(1000000000))); "
                "INSERT INTO systems (id) VALUES (1)",
            )))  # fmt: skip
        base.commit()
        made = base.serialize()
    finally:
        base.close()
    return made


def xml_made(chance: random.Random, data: bytes) -> bytes:
    """XML that unfolds: entities within entities, a file of the server, depth without end."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    for before, after in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f'<!ENTITY {after} "{f"&{before};" * 10}">'.encode()
    return chance.choice((
        bomb + b"]><modeling>&j;</modeling>", b"<a>" * 100_000,
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><modeling>&f;</modeling>',
        b"<modeling><incar>" + b"<i name='x'>1</i>" * 5000 + b"</incar></modeling>",
    ))  # fmt: skip


def json_made(chance: random.Random, data: bytes) -> bytes:
    """Sound JSON with other values."""
    try:
        fields = json.loads(data)
        place = fields["settings"] if chance.random() < 0.4 else fields
        key = chance.choice(sorted(place))
    except (ValueError, LookupError, TypeError):
        return data
    place[key] = chance.choice((None, True, -1, 10**30, 1.5, "x", [], [None], [[1, 2, "a"]], {},
                                {"replicas": 10**12}, ["a", "a"], [119], float("nan"), "../x",
                                {"replicas": "x", "steps": -1}))  # fmt: skip
    return json.dumps(fields).encode()


def toml_made(chance: random.Random, data: bytes) -> bytes:
    """Sound TOML with other values, other keys, or very many of them."""
    lines = data.decode("utf-8", "replace").splitlines()
    row = chance.randrange(len(lines))
    name = lines[row].split("=")[0].strip() if "=" in lines[row] else "title"
    many = ", ".join(map(str, range(chance.choice((3, 3000)))))
    lines[row] = chance.choice((
        f"{name} = -1", f"{name} = 1e308", f"{name} = nan", f"{name} = {10**30}", f"{name} = true",
        f"{name} = [{many}]", f"{name} = {{a = 1}}", f"{name} = []", f"{name} = 1979-05-27",
        f'{name} = "../../etc/passwd"', f'{name} = "/etc/passwd"', f'{name} = "a\\u0000b"',
        f"{name} = " + "[" * 2000 + "]" * 2000, "[[models]]", "[data]", "[heads]", "x" * 200,
        f'{name} = "{chance.choice(("auto", "stable", "inf", "💥", "x" * 500))}"', f"[{name}]",
        "a" + ".a" * 2000 + " = 1", f"{name} = [[1], [2]]", f'{name} = [1, "a", 2.5, false]',
    ))  # fmt: skip
    return "\n".join(lines).encode()


def text_made(chance: random.Random, data: bytes) -> bytes:
    """Any text at all."""
    return "".join(chr(chance.choice((chance.randrange(1, 128), chance.randrange(0xD7FF))))
                   for _ in range(chance.choice((0, 1, 5, 60, 300)))).encode()  # fmt: skip
