"""The other end of the pipe: what another Python starts, with the library of a model.

    THEIR/bin/python worker.py

It needs numpy and the library, and nothing of FisherDash but ``models.py`` beside it, which knows
the libraries. A message is the length of its header in four bytes, the header in JSON, and the
arrays that the header names, one behind the other as raw little-endian numbers. The first request,
``hello``, names the model's file and its SHA-256; the file is unpickled, which runs whatever is
written in it, and so only after that hash was found right in the very bytes that are unpickled.
Then a request asks for one thing and is answered by one message, an error included. What the
library prints goes to standard error. The process ends when its input ends, or its parent does.
"""

# It runs in Python 3.9 and newer.
from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

VERSION = 1
"""Of the messages; both ends have to be of the same one."""
_PARENT_SECONDS = 1.0


def _loaded(path: Path) -> Any:
    """A file as a module, wherever Python looks for modules."""
    spec = importlib.util.spec_from_file_location(f"fisherdash_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


models = _loaded(Path(__file__).resolve().with_name("models.py"))
FAMILIES, Refusal = models.FAMILIES, models.Refusal


def encode(header: Mapping, arrays: Mapping) -> bytes:
    """A message of JSON-able fields and named arrays of numbers."""
    fields, parts = [], []
    for name, array in arrays.items():
        array = np.asarray(array, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        fields.append({"name": name, "dtype": array.dtype.str, "shape": list(array.shape)})
        parts.append(array.tobytes())
    text = json.dumps({**header, "arrays": fields}).encode()
    return struct.pack("<I", len(text)) + text + b"".join(parts)


def receive(stream: Any) -> tuple[dict, dict] | None:
    """The next message; None where the other end has closed the pipe."""
    start = _exactly(stream, 4)
    if start is None:
        return None
    text = _exactly(stream, struct.unpack("<I", start)[0])
    if text is None:
        return None
    header, arrays = json.loads(text), {}
    for field in header.pop("arrays"):
        dtype, shape = np.dtype(field["dtype"]), tuple(field["shape"])
        data = _exactly(stream, dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
        if data is None:
            return None
        arrays[field["name"]] = np.frombuffer(data, dtype).reshape(shape)
    return header, arrays


def _exactly(stream: Any, count: int) -> bytes | None:
    data = stream.read(count)
    return data if len(data) == count else None


class Server:
    """One model and its answers."""

    def __init__(self) -> None:
        self.model: Any = None

    def answer(self, header: dict, arrays: dict) -> tuple[dict, dict]:
        """Header and arrays of the answer."""
        what = header.get("request")
        if what == "hello":
            return self.hello(header)
        if what == "write":
            self.model.write(arrays["theta"], arrays["change"], header["path"])
            return {}, {}
        if what == "seam":
            return {"seam": self.model.seam()}, {}
        numbers, x = arrays["numbers"], arrays["positions"]
        model = self.model
        if what == "per_atom":
            return {}, model.per_atom(numbers, x)
        if what == "pull":
            given = [arrays[name] for name in ("h", "fixed") if name in arrays]
            return {}, model.pull(numbers, x, given)
        if what == "push":
            return {}, model.push(numbers, x, arrays["tangent"])
        if what == "energy_and_forces":
            return {}, model.energy_and_forces(numbers, x, arrays.get("theta"))
        if what == "attached":
            return {}, model.attached(numbers, x, header["path"])
        raise Refusal(f"was asked for {what!r}, which this version of it does not know")

    def hello(self, header: dict) -> tuple[dict, dict]:
        """Open the model."""
        if header["version"] != VERSION:
            raise Refusal(f"speaks version {VERSION} of the messages, not {header['version']}")
        data = Path(header["path"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != header["sha256"]:
            raise Refusal("is not the file that was trusted: its SHA-256 is another one")
        self.model = model = FAMILIES[header["family"]](data, header["options"])
        facts = {"precision": model.precision, "parameters": model.parameters, **model.facts}
        told = {"version": VERSION, "family": header["family"], **facts}
        return told, {"theta": model.theta, "constants": model.constants}


def serve(requests: Any, answers: Any) -> None:
    """Answer until the requests end."""
    server = Server()
    while True:
        message = receive(requests)
        if message is None:
            return
        try:
            reply = encode(*server.answer(*message))
        except Refusal as refusal:
            reply = encode({"error": "refused", "text": str(refusal)}, {})
        except ImportError as error:
            reply = encode({"error": "package", "text": str(error)}, {})
        except Exception as error:  # noqa: BLE001 - told to the other end
            reply = encode({"error": type(error).__name__, "text": str(error)}, {})
        answers.write(reply)
        answers.flush()


def _end_with_parent(parent: int) -> None:
    """A library that hangs never sees that the requests have ended."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(0)


def main() -> None:
    """Serve on standard input and output, which nothing else gets to see."""
    # Files beside this one have names that a library may want for its own.
    here = Path(__file__).resolve().parent
    sys.path[:] = [one for one in sys.path if Path(one).resolve() != here]
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        serve(requests, answers)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
