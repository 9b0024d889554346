"""Files as ``torch.save(model)`` writes them, made by hand: there is no torch here.

Descriptions are plain: ``module("package.Class", attribute=…, parameters={…}, parts={…})`` for a
module, :class:`Fn` for a function or class that is only named, NumPy arrays for tensors.
"""

import dataclasses
import io
import struct
import zipfile
from typing import Any

import numpy as np

STORAGES = {"f8": "DoubleStorage", "f4": "FloatStorage", "i8": "LongStorage", "b1": "BoolStorage"}


@dataclasses.dataclass(frozen=True)
class Fn:
    """A function or a class by its name."""

    name: str


@dataclasses.dataclass(frozen=True)
class Obj:
    """An object of a class, filled with a state."""

    name: str
    state: dict[str, Any]


def module(name: str, parameters=None, buffers=None, parts=None, **attributes: Any) -> Obj:
    """One of torch's modules, with what torch adds to each."""
    nothing = {"_backward_hooks": {}, "_forward_hooks": {}, "_is_full_backward_hook": None}
    parts = {str(name): part for name, part in (parts or {}).items()}
    inside = {"_parameters": parameters or {}, "_buffers": buffers or {}, "_modules": parts}
    return Obj(name, {"training": False, **nothing, **inside, **attributes})


def listed(*parts: Any, kind: str = "ModuleList") -> Obj:
    """Modules in a row."""
    return module(f"torch.nn.modules.container.{kind}", parts=dict(enumerate(parts)))


class Writer:
    """Writes one description; ``arrays`` are its storages in their order."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.code = bytearray(b"\x80\x02")

    def name(self, name: str) -> None:
        place, _, last = name.rpartition(".")
        self.code += b"c" + f"{place}\n{last}\n".encode()

    def text(self, value: str) -> None:
        self.code += b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    def tensor(self, value: np.ndarray) -> None:
        value = np.ascontiguousarray(value).reshape(value.shape)
        strides = tuple(step // value.itemsize for step in value.strides)
        self.rebuilt(value, 0, value.shape, strides, value.size)

    def rebuilt(self, value: np.ndarray, offset: int, shape: Any, strides: Any, size: int) -> None:
        """A tensor that claims these numbers about itself."""
        self.name("torch._utils._rebuild_tensor_v2")
        self.code += b"(("
        self.text("storage")
        self.name("torch." + STORAGES[value.dtype.str[1:]])
        self.text(str(len(self.arrays)))
        self.text("cpu")
        self.put(size)
        self.code += b"tQ"
        self.arrays.append(value)
        for one in (offset, tuple(shape), tuple(strides), False):
            self.put(one)
        self.name("collections.OrderedDict")
        self.code += b")RtR"

    def put(self, value: Any) -> None:
        """One value of any kind."""
        match value:
            case None | True | False:
                self.code += {None: b"N", True: b"\x88", False: b"\x89"}[value]
            case int():
                raw = value.to_bytes(8, "little", signed=True)
                self.code += b"\x8a\x08" + raw
            case float():
                self.code += b"G" + struct.pack(">d", value)
            case str():
                self.text(value)
            case np.ndarray():
                self.tensor(value)
            case Fn(name):
                self.name(name)
            case Obj(name, state):
                self.name(name)
                self.code += b")\x81"
                self.put(state)
                self.code += b"b"
            case dict():
                self.code += b"}("
                for key, inner in value.items():
                    self.put(key)
                    self.put(inner)
                self.code += b"u"
            case list():
                self.code += b"]("
                for inner in value:
                    self.put(inner)
                self.code += b"e"
            case tuple():
                self.code += b"("
                for inner in value:
                    self.put(inner)
                self.code += b"t"
            case _:
                raise TypeError(type(value))


def saved(value: Any, kind: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of the file."""
    writer = Writer()
    writer.put(value)
    return archive(bytes(writer.code) + b".", writer.arrays, kind)


def archive(
    program: bytes, arrays: Any = (), kind: int = zipfile.ZIP_STORED, **more: bytes
) -> bytes:
    """A file around a description that was made in any way."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as file:
        file.writestr("model/data.pkl", program)
        file.writestr("model/byteorder", more.pop("byteorder", b"little"))
        for index, array in enumerate(arrays):
            file.writestr(f"model/data/{index}", array.tobytes())
        for name, content in more.items():
            file.writestr(f"model/{name}", content)
    return stream.getvalue()
