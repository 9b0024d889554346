"""This end of the pipe: starts the other Python, asks, and believes nothing unchecked.

The messages are described in ``worker.py``, which runs at the other end. Whatever goes wrong there
(no such package, a crash, a hang, an answer of another shape, a header without end) is one
:class:`~fisherdash.errors.InputError`; the process is ended, and the next request starts another.
"""

import atexit
import collections
import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fisherdash.errors import InputError
from fisherdash.potentials.worker.trusted import Trusted
from fisherdash.potentials.worker.worker import VERSION, encode

SCRIPT = Path(__file__).with_name("worker.py")
OPENING_SECONDS = 300.0
"""For the libraries and the model; a cold disk takes half a minute."""
ANSWER_SECONDS = 600.0
MOST_HEADER = 100_000
_STDERR_LINES = 20
_PIECE = 1 << 20

Shapes = Mapping[str, tuple[int, ...]]


class Client:
    """One process with one model in it; several threads may ask, one after the other.

    Attributes:
        facts: what it says about its model, as ``worker.py`` lists it; not checked here.
        arrays: θ and the constants of the elements, in the library's unit of energy.
    """

    def __init__(self, trusted: Trusted, options: Mapping[str, Any]) -> None:
        self.trusted = trusted
        self._lock = threading.Lock()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        try:
            self._process = subprocess.Popen(
                [trusted.python, str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for this process, which then ends that one
            )
        except OSError as error:
            raise InputError(f"{trusted.python} cannot be started: {error.strerror}") from error
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for one in (self._in, self._out):
            os.set_blocking(one, False)
        threading.Thread(target=self._keep_stderr, daemon=True).start()
        hello = {
            "request": "hello",
            "version": VERSION,
            "family": trusted.family,
            "path": str(trusted.path),
            "sha256": trusted.sha256,
            "options": dict(options),
        }
        self.facts, self.arrays = self._ask(hello, {}, None, OPENING_SECONDS)
        self._check_hello()

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def ask(
        self, request: str, arrays: Mapping[str, np.ndarray], expected: Shapes, **said: str
    ) -> dict[str, np.ndarray]:
        """The arrays that answer a request.

        Args:
            request: its name, see ``worker.py``.
            arrays: that go with it.
            expected: names and shapes of the answer, all float64.
            said: what else goes with it.

        Raises:
            InputError: for every other answer, and for none.
        """
        return self._ask({"request": request, **said}, arrays, expected, ANSWER_SECONDS)[1]

    def tell(self, request: str) -> dict[str, Any]:
        """The fields that answer a request without arrays, unchecked; InputError for no answer."""
        return self._ask({"request": request}, {}, {}, ANSWER_SECONDS)[0]

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._lock.locked()

    def close(self) -> None:
        """End the process, which has nothing to lose; who waits for its answer is told so."""
        self._process.kill()
        self._process.wait()
        if self._lock.acquire(blocking=False):  # else the one who waits does it
            try:
                self._close_pipes()
            finally:
                self._lock.release()

    def _close_pipes(self) -> None:
        self._in = self._out = -1
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        expected: Shapes | None,
        seconds: float,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        with self._lock:
            if self._in < 0:
                raise InputError(f"{self._whose} was ended; start again")
            done = False
            try:
                deadline = time.monotonic() + seconds
                self._write(encode(header, arrays), deadline)
                answer = self._read_answer(expected, deadline)
                done = True
            finally:
                if not done:  # what is still in the pipe would answer the next request
                    self._process.kill()
                    self._process.wait()
                    self._close_pipes()
        if "error" in answer[0]:
            self._tell(answer[0])
        return answer

    def _read_answer(
        self, expected: Shapes | None, deadline: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        (length,) = struct.unpack("<I", self._read(4, deadline))
        if length > MOST_HEADER:
            self._lies(f"a header of {length} bytes")
        try:
            header = json.loads(self._read(length, deadline))
            fields = {one["name"]: one for one in header.pop("arrays")}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._lies("a header that is no JSON of a message")
        if not isinstance(header, dict):
            self._lies("a header that is no JSON of a message")
        if "error" in header:
            return header, {}
        if expected is None:  # of a model whose size is not known yet
            expected = {"theta": (_whole(header.get("features")),), "constants": (_NUMBERS,)}
        if set(fields) != set(expected):
            self._lies(f"arrays named {sorted(map(str, fields))!r:.100}, not {sorted(expected)}")
        found = {}
        for name, field in fields.items():
            shape = expected[name]
            if field.get("dtype") != "<f8" or field.get("shape") != list(shape):
                self._lies(
                    f"{name} of the shape {field.get('shape')!r:.60} and type "
                    f"{field.get('dtype')!r:.20}, not {list(shape)} and '<f8'"
                )
            data = self._read(8 * int(np.prod(shape)), deadline)
            found[name] = np.frombuffer(data, "<f8").reshape(shape)
        return header, found

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            _, ready, _ = select.select([], [self._in], [], self._left(deadline))
            if not ready:
                continue
            try:
                view = view[os.write(self._in, view[:_PIECE]) :]
            except BlockingIOError:
                continue
            except OSError:
                self._ended()

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            ready, _, _ = select.select([self._out], [], [], self._left(deadline))
            if not ready:
                continue
            piece = os.read(self._out, min(count - len(data), _PIECE))
            if not piece:
                self._ended()
            data += piece
        return bytes(data)

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(f"{self._whose} gave no answer in time and was ended")
        return left

    @property
    def _whose(self) -> str:
        return f"the Python that evaluates {self.trusted.name} ({self.trusted.python})"

    def _lies(self, what: str) -> NoReturn:
        raise InputError(f"{self._whose} answered with {line(what)}, and was ended")

    def _ended(self) -> NoReturn:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = 0
        how = f"exit status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-status).name
        time.sleep(0.1)  # for the last words
        said = next((one for one in reversed(self._stderr) if one), "")
        raise InputError(f"{self._whose} ended ({how}){': ' if said else ''}{said}")

    def _tell(self, header: Mapping[str, Any]) -> NoReturn:
        kind, text = line(header.get("error")), line(header.get("text"))
        if kind == "refused":
            raise InputError(f"{self.trusted.name} {text}")
        if kind == "package":
            raise InputError(
                f"{self.trusted.python} lacks what {self.trusted.family} needs ({text}): install "
                "it there, name another Python with --python, or call 'make potentials "
                f"FAMILY={self.trusted.family}' for one that has it"
            )
        raise InputError(f"the library of {self.trusted.name} failed ({kind}): {text}")

    def _check_hello(self) -> None:
        facts = self.facts
        good = (
            facts.get("version") == VERSION
            and facts.get("family") == self.trusted.family
            and all(np.isfinite(one).all() for one in self.arrays.values())
        )
        if not good:
            self.close()
            self._lies(
                f"version {facts.get('version')!r:.20} of the messages, the family "
                f"{facts.get('family')!r:.20}, or a head that is not finite"
            )

    def _keep_stderr(self) -> None:
        """The last lines, so that a pipe that nobody reads does not fill up."""
        assert self._process.stderr
        with self._process.stderr as stream, contextlib.suppress(OSError, ValueError):
            rest = b""
            while piece := stream.read(_PIECE):
                *lines, rest = (rest + piece)[-_PIECE:].split(b"\n")
                self._stderr.extend(line(one.decode("utf-8", "replace")) for one in lines)
            self._stderr.append(line(rest.decode("utf-8", "replace")))


_NUMBERS = 119


def _whole(value: Any) -> int:
    """A number of features that is one; 0 for all else, which no answer fits."""
    return value if type(value) is int and 0 < value <= MOST_HEADER else 0


def line(text: Any) -> str:
    """What the other end says, as a part of a sentence: printable, and short."""
    words = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:300]


MOST_RUNNING = 3
"""Processes that are kept; torch takes half a gigabyte in each."""

_running: "collections.OrderedDict[Any, Client]" = collections.OrderedDict()
_lock = threading.Lock()


def running(trusted: Trusted, options: Mapping[str, Any]) -> Client:
    """The process with this model in it, started where there is none; InputError where none starts.

    Where there are too many, those that were asked longest ago are ended, unless they are at work.
    """
    key = (os.getpid(), trusted, tuple(sorted(options.items())))
    with _lock:
        found = _running.pop(key, None)
        if found is None or not found.alive:
            found = Client(trusted, options)
        _running[key] = found
        idle = [one for one, process in _running.items() if not process.busy and one != key]
        for one in idle[: max(0, len(_running) - MOST_RUNNING)]:
            _running.pop(one).close()
        return found


@atexit.register
def close_all() -> None:
    """End all processes; a request after it starts another."""
    with _lock:
        clients: Sequence[Client] = list(_running.values())
        _running.clear()
    for one in clients:
        one.close()
