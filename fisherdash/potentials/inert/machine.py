"""The machine that a pickle is a program for, without the instructions that do anything.

A pickle is a sequence of instructions for a machine with a stack and a memo (torch writes protocol
2 to 5). The real machine looks classes and functions up and calls them, by which a file can run
whatever it likes. This one has them only as names (:mod:`fisherdash.potentials.inert.records`), so
"call" and "fill" only write down what was asked for. Everything is bounded: bytes, instructions,
whole numbers, and therefore memory and time. What is no sound program is refused with a sentence.
"""

import reprlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from fisherdash.errors import InputError
from fisherdash.potentials.inert.records import Archive, Named, Record, key, made, storage_of

MOST_BYTES = 16_000_000
MOST_INSTRUCTIONS = 1_000_000
WIDEST_INTEGER = 8
"""Bytes."""
LONGEST_NAME = 300


class Machine:
    """Runs one program.

    Args:
        program: the pickle.
        archive: of the storages that it refers to.
        folder: of the archive, in which they are.
    """

    def __init__(self, program: bytes, archive: Archive, folder: str) -> None:
        if len(program) > MOST_BYTES:
            raise InputError(
                f"the description in the file has {len(program)} bytes; at most {MOST_BYTES} are "
                "read"
            )
        self.program, self.archive, self.folder = program, archive, folder
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the program builds; InputError if it is not a sound program."""
        for _ in range(MOST_INSTRUCTIONS):
            code = self._take(1)[0]
            if code == _STOP:
                found = self._pop()
                if self.stack or self.marks:
                    raise InputError("the description in the file ends before it is complete")
                return found
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise InputError(
                    f"the description in the file has the instruction {code:#04x} at byte "
                    f"{self.at - 1}, which no model of torch needs"
                )
            instruction(self)
        raise InputError(
            f"the description in the file has more than {MOST_INSTRUCTIONS} instructions"
        )

    # The program.

    def _take(self, size: int) -> bytes:
        found = self.program[self.at : self.at + size]
        if len(found) < size:
            raise InputError("the description in the file is cut off")
        self.at += size
        return found

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        end = self.program.find(b"\n", self.at, self.at + LONGEST_NAME)
        if end < 0:
            raise InputError("the description in the file names something without an end")
        found = self.program[self.at : end]
        self.at = end + 1
        return found.decode("utf-8", "replace")

    def _text(self, layout: str) -> str:
        return self._take(self._number(layout)).decode("utf-8", "replace")

    # The stack.

    def _pop(self) -> Any:
        # Below a mark nothing may be taken before the mark itself.
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise InputError(f"the description in the file is damaged at byte {self.at}")
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        if not self.marks:
            raise InputError(f"the description in the file is damaged at byte {self.at}")
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def _top(self) -> Any:
        found = self._pop()
        self.stack.append(found)
        return found

    # The instructions.

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _integer(self, size_layout: str) -> None:
        size = self._number(size_layout)
        if not 0 <= size <= WIDEST_INTEGER:
            raise InputError(f"the file holds a whole number of {size} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _several(self, count: int) -> None:
        self._push(tuple([self._pop() for _ in range(count)][::-1]))

    def _remember(self, index: int) -> None:
        self.memo[index] = self._top()

    def _recall(self, index: int) -> None:
        if index not in self.memo:
            raise InputError(f"the description in the file is damaged at byte {self.at}")
        self._push(self.memo[index])

    def _global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise InputError(f"the description in the file is damaged at byte {self.at}")
        if len(module) + len(name) > LONGEST_NAME:
            raise InputError(f"the file names {reprlib.repr(f'{module}.{name}')}")
        self._push(Named(f"{module}.{name}"))

    def _global_of_stack(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _call(self) -> None:
        args, maker = self._pop(), self._pop()
        self._push(made(maker, args, self.archive))

    def _new(self, keywords: bool = False) -> None:
        if keywords:
            self._pop()
        args, maker = self._pop(), self._pop()
        if not isinstance(maker, Named) or not isinstance(args, tuple):
            raise InputError(
                f"the file asks for a new {reprlib.repr(maker)}, which no model of torch does"
            )
        self._push({} if maker.name == "collections.OrderedDict" else Record(maker.name, args))

    def _fill(self) -> None:
        state, target = self._pop(), self._top()
        # A dictionary of torch carries attributes beside its content, which say nothing of it.
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):
            raise InputError(
                f"the file gives attributes to a {type(target).__name__}, which has none"
            )

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, (list, Record)):
            raise InputError(f"the file appends to a {type(target).__name__}")
        (target.items if isinstance(target, Record) else target).extend(values)

    def _append_one(self) -> None:
        self._append([self._pop()])

    def _set(self, values: list[Any]) -> None:
        target = self._top()
        if len(values) % 2 or not isinstance(target, (dict, Record)):
            raise InputError(f"the file sets items of a {type(target).__name__}")
        for name, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(target, Record):
                target.items.append((name, value))
            else:
                target[key(name)] = value

    def _set_one(self) -> None:
        value, name = self._pop(), self._pop()
        self._set([name, value])

    def _dictionary(self) -> None:
        values = self._since_mark()
        self._push({})
        self._set(values)

    def _new_set(self) -> None:
        self._push(Record("builtins.set"))

    def _frozen(self) -> None:
        self._push(Record("builtins.frozenset", (self._since_mark(),)))

    def _drop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._pop()

    def _storage(self) -> None:
        self._push(storage_of(self.archive, self.folder, self._pop()))

    def _protocol(self) -> None:
        if self._take(1)[0] not in (2, 3, 4, 5):
            raise InputError("the description in the file is of a protocol that torch never writes")


_STOP: Final = ord(".")
_Instruction = Callable[[Machine], object]


def _instructions() -> Iterator[tuple[bytes, _Instruction]]:
    """Every instruction that is known; text forms of protocol 0 are not, but for one."""
    m = Machine
    yield b"\x80", m._protocol
    yield b"\x95", lambda self: self._take(8)  # the length of a frame, which binds nobody
    yield b"N", lambda self: self._push(None)
    yield b"\x88", lambda self: self._push(True)
    yield b"\x89", lambda self: self._push(False)
    yield b"K", lambda self: self._push(self._number("<B"))
    yield b"M", lambda self: self._push(self._number("<H"))
    yield b"J", lambda self: self._push(self._number("<i"))
    yield b"\x8a", lambda self: self._integer("<B")
    yield b"\x8b", lambda self: self._integer("<i")
    yield b"G", lambda self: self._push(self._number(">d"))
    yield b"X", lambda self: self._push(self._text("<I"))
    yield b"\x8c", lambda self: self._push(self._text("<B"))
    yield b"\x8d", lambda self: self._push(self._text("<Q"))
    yield b"C", lambda self: self._push(self._take(self._number("<B")))
    yield b"B", lambda self: self._push(self._take(self._number("<I")))
    yield b"\x8e", lambda self: self._push(self._take(self._number("<Q")))
    yield b"U", lambda self: self._push(self._take(self._number("<B")))
    yield b"T", lambda self: self._push(self._take(self._number("<I")))
    yield b"]", lambda self: self._push([])
    yield b"}", lambda self: self._push({})
    yield b")", lambda self: self._push(())
    yield b"\x8f", m._new_set
    yield b"(", lambda self: self.marks.append(len(self.stack))
    yield b"t", lambda self: self._push(tuple(self._since_mark()))
    yield b"l", lambda self: self._push(self._since_mark())
    yield b"d", m._dictionary
    yield b"\x91", m._frozen
    yield b"\x85", lambda self: self._several(1)
    yield b"\x86", lambda self: self._several(2)
    yield b"\x87", lambda self: self._several(3)
    yield b"a", m._append_one
    yield b"e", lambda self: self._append(self._since_mark())
    yield b"\x90", lambda self: self._append(self._since_mark())
    yield b"s", m._set_one
    yield b"u", lambda self: self._set(self._since_mark())
    yield b"q", lambda self: self._remember(self._number("<B"))
    yield b"r", lambda self: self._remember(self._number("<I"))
    yield b"\x94", lambda self: self._remember(len(self.memo))
    yield b"h", lambda self: self._recall(self._number("<B"))
    yield b"j", lambda self: self._recall(self._number("<I"))
    yield b"0", m._drop
    yield b"1", lambda self: self._since_mark()
    yield b"2", lambda self: self._push(self._top())
    yield b"c", lambda self: self._global(self._line(), self._line())
    yield b"\x93", m._global_of_stack
    yield b"R", m._call
    yield b"\x81", m._new
    yield b"\x92", lambda self: self._new(keywords=True)
    yield b"b", m._fill
    yield b"Q", m._storage


_INSTRUCTIONS: Final = {code[0]: instruction for code, instruction in _instructions()}
