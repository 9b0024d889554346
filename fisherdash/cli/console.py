"""Runs a command: progress, one result as JSON or as a table, and the exit status.

Standard output carries the result and nothing else. Libraries print there too, some of them from
compiled code, so for the length of a command the file descriptor itself points to standard error.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from fisherdash.cli import SIGNALS, stop
from fisherdash.errors import InputError, within
from fisherdash.text import harmless
from fisherdash.trajectories import KIND_WORDS

if TYPE_CHECKING:
    from fisherdash.tasks import Task
    from fisherdash.workspace.estimates import Estimate
    from fisherdash.workspace.jobs import JobProgress

Item = TypeVar("Item")
Result = TypeVar("Result")


def json_safe(value: Any) -> Any:
    """The same value in JSON's own types: NaN and infinities, which JSON lacks, become null."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and JAX scalars and arrays
        return json_safe(value.tolist())
    if isinstance(value, Sequence):
        return [json_safe(item) for item in value]
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON cannot carry")


UNITS: Final = (  # longest ending first
    ("_meV_per_atom_per_ps", "meV/atom/ps"),
    ("_kcal2_per_mol2", "(kcal/mol)²"),
    ("_eV_per_A", "eV/Å"),
    ("_meV", "meV"),
    ("_eV", "eV"),
    ("_ps", "ps"),
    ("_K", "K"),
)
OUR_KEYS: Final = ("boltzmann",)
"""Nested results with keys of ours; in all the others the keys are names of checkpoints."""
WIDEST_NUMBER: Final = 40
"""Values up to so many letters are set flush right, as numbers are read; longer ones are texts."""

Row = tuple[str, str, str]


def table(result: Mapping[str, Any]) -> str:
    """The result for a person: one aligned line a number, its unit taken from the key.

    The key "details" is left out: too long to read, it only stands in the JSON.
    """
    shown = {key: value for key, value in json_safe(result).items() if key != "details"}
    rows = [row for key, value in shown.items() for row in _named(key, value, "")]
    name_width = max((len(name) for name, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    side = ">" if value_width <= WIDEST_NUMBER else "<"
    lines = (
        f"{name:<{name_width}}  {value:{side}{value_width}} {unit}" for name, value, unit in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _named(key: str, value: Any, head: str) -> Iterator[Row]:
    """Rows of a key of ours, which may end in its unit."""
    unknown = ("", "meV/atom/ps" if key == "paired_difference" else "")
    ending, unit = next((pair for pair in UNITS if key.endswith(pair[0])), unknown)
    name = head + key.removesuffix(ending).replace("_", " ")
    if key in OUR_KEYS and isinstance(value, dict):
        for inner, item in value.items():
            yield from _named(inner, item, f"{name}, ")
    else:
        yield from _rows(name, value, unit)


def _rows(name: str, value: Any, unit: str) -> Iterator[Row]:
    if isinstance(value, dict) and {"median", "low", "high"} <= set(value):
        middle, low, high = (_readable(value[key]) for key in ("median", "low", "high"))
        text = middle if value["low"] is None else f"{middle} ({low} to {high})"
        yield name, text, unit if value["median"] is not None else ""
        if "p_value" in value:
            yield f"{name}, p value", _readable(value["p_value"]), ""
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _rows(f"{name}, {KIND_WORDS.get(key, key)}", item, unit)
    elif isinstance(value, list):
        for number, item in enumerate(value, start=1):
            yield from _rows(f"{name} {number}", item, unit)
    else:
        yield name, _readable(value), unit if value is not None else ""


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


DONE, FAILED, UNUSABLE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, as for any other unusable input."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2 and the message in one line."""
        self.exit(UNUSABLE, f"{self.prog}: {harmless(message)} (see {self.prog} --help)\n")


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names the defaults, and no default where there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        plain = action.default is None or action.default is False
        return action.help if plain else super()._get_help_string(action)


class Console:
    """Notes and progress on standard error, and the request to stop.

    Notes are held back until the work begins, so that refused input is answered by one line.
    """

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self._held: list[str] = []
        self._bar: Any = None
        self._handlers = contextlib.ExitStack()
        self._interrupted = False

    def interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        """Handle a signal: raise KeyboardInterrupt, which :meth:`follow` repeats if it was lost.

        Compiled libraries crash, or go on, where it is raised while they are imported: then the
        process ends here.
        """
        self._interrupted = True
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                os.write(2, b"fisherdash: interrupted; nothing was kept\n")
                os._exit(FAILED)
            frame = frame.f_back
        raise KeyboardInterrupt

    def note(self, text: str) -> None:
        """Print a note on standard error, such as what the loader inferred."""
        self._held.append(text)

    def flush(self) -> None:
        """Print the notes held so far."""
        for text in self._held:
            self._write(text)
        self._held.clear()

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Move the bar to ``done`` of ``total``; shown only on a terminal."""
        self.flush()
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(file=sys.stderr, dynamic_ncols=True, leave=False, bar_format=form)
        self._bar.total = total
        self._bar.set_description_str(harmless(text), refresh=False)
        self._bar.update(done - self._bar.n)

    def follow(self, task: "Task[Item, Result]") -> "tuple[Result, Item | None]":
        """Do a task here and now; its result, and the last item that it gave.

        A large one is warned of. Until the command ends, Ctrl-C asks a task that keeps what it has
        to stop.

        Raises:
            InputError: where it is beyond a limit that was set, needs more than the free space of
                the disk, or writes a file that another program is writing.
        """
        self.begin(task.estimate, *task.outs)
        if task.note:
            self.note(task.note)
        if self._interrupted:  # while a library was imported, which went on all the same
            raise KeyboardInterrupt
        if task.keeps:
            self._handlers.enter_context(self.stoppable())
        work, item = task.work(self.cancel, self._show), None
        while True:
            try:
                item = next(work)
            except StopIteration as end:
                return end.value, item
            self._show(task.describe(item))

    def begin(self, price: "Estimate", *outs: Path) -> None:
        """The gate of every command that takes a while or writes something; see :meth:`follow`.

        Its outputs, the main one first, are held until the command ends.
        """
        from fisherdash.workspace import limits, locks

        limits.check(price, place=outs[0] if outs else None)
        if words := limits.too_large_unasked(price):
            self.note(f"warning: {words}; Ctrl-C stops it")
        for out in outs:
            self._handlers.enter_context(locks.writing(out))

    def _show(self, progress: "JobProgress") -> None:
        rate = f"{progress.rate:.3g} {progress.rate_unit}" if progress.rate else ""
        words = (progress.stage, progress.detail, rate, progress.device)
        self.progress(round(100 * progress.fraction), 100, ", ".join(filter(None, words)))

    def close(self) -> None:
        """Remove the bar, print the notes that are held, and restore the handling of Ctrl-C."""
        self._handlers.close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.flush()

    def drop(self) -> None:
        """Discard the notes that are held: the command ended with an error message instead."""
        self._held.clear()
        self.close()

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[threading.Event]:
        """For work that keeps partial results: the first Ctrl-C or SIGTERM sets the event.

        The second one ends the command at once. What is kept is to be written inside the context,
        so that a signal that comes late does not cost it. Outside the main thread, which alone
        receives signals, the event is never set.
        """

        def ask(number: int, frame: object) -> None:
            """The handler of the signals."""
            if self.cancel.is_set():
                raise KeyboardInterrupt
            self.cancel.set()
            os.write(2, b"\nfisherdash: stopping; once more stops at once, keeping nothing\n")

        with _handling(ask):
            yield self.cancel

    def _write(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(harmless(text), file=sys.stderr, flush=True)


Run = Callable[[argparse.Namespace, Console], Mapping[str, Any]]


def execute(args: argparse.Namespace) -> int:
    """Run the command chosen by ``args``, print its result, return the exit status."""
    run: Run = args.run
    console = Console()
    # Both signals raise KeyboardInterrupt, where the command does not ask for something else.
    with _handling(console.interrupt), _quiet_interrupts():
        return _execute(run, args, console)


@contextlib.contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """Where Python cannot raise, as in a destructor, it prints a traceback: not of a signal."""

    def hook(found: Any) -> None:
        """Tell what is unraisable, but no signal."""
        if not issubclass(found.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(found)

    before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to the handler; as they were in a thread that receives no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            # After the first lines only the end of the process is left: its result stands.
            signal.signal(number, signal.SIG_IGN if earlier is stop else earlier)


def _execute(run: Run, args: argparse.Namespace, console: Console) -> int:
    try:
        if hasattr(args, "json"):  # every command but the one that starts the browser
            from fisherdash.background import keep_compilations

            keep_compilations()
        with _stdout_to_stderr() if hasattr(args, "json") else contextlib.nullcontext():
            result = run(args, console)
        console.close()
    except InputError as error:
        console.drop()
        if console.cancel.is_set():  # what was given is usable, and was given up
            return _complain(f"interrupted: {error}", FAILED)
        return _complain(str(error), UNUSABLE)
    except KeyboardInterrupt:
        console.drop()
        return _complain("interrupted; nothing was kept", FAILED)
    except OSError as error:  # of a place that cannot even be looked at; others are told elsewhere
        console.drop()
        if not _has_directory():
            gone = "the working directory was deleted; change to one that is there"
            return _complain(gone, UNUSABLE)
        if args.debug or not (error.filename and error.strerror):
            return _fail(error, args)
        return _complain(f"{_shortened(str(error.filename))}: {error.strerror}", UNUSABLE)
    except Exception as error:  # noqa: BLE001 - a failure of ours is one line and a log file
        console.drop()
        told = within(error)
        if told is not None and console.cancel.is_set():
            return _complain(f"interrupted: {told}", FAILED)
        return _fail(error, args) if told is None else _complain(str(told), UNUSABLE)
    as_json = getattr(args, "json", False)
    text = json.dumps(json_safe(result), allow_nan=False) if as_json else harmless(table(result))
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError as error:
        # What is still in the buffer would complain once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # a reader like head has merely seen enough
            return _complain(f"the result could not be printed: {error.strerror}", FAILED)
    return DONE


def _has_directory() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _shortened(name: str) -> str:
    """A path for a sentence, printable and of readable length."""
    return ascii(name if len(name) <= 90 else f"{name[:60]}…{name[-20:]}")


def _complain(sentence: str, status: int) -> int:
    print(f"fisherdash: {harmless(' '.join(sentence.split()))}", file=sys.stderr)
    return status


def _fail(error: Exception, args: argparse.Namespace) -> int:
    """One line and a log file, or the whole traceback where ``--debug`` asks for it."""
    said = f"{type(error).__name__}: {error}"
    if args.debug:
        traceback.print_exception(error)
        return _complain(f"failed ({said})", FAILED)
    with tempfile.NamedTemporaryFile(
        "w",
        prefix="fisherdash-",
        suffix=".log",
        delete=False,
        encoding="utf-8",
        errors="backslashreplace",
    ) as log:
        log.write(f"{args.command_line}\n\n")
        traceback.print_exception(error, file=log)
    return _complain(f"failed ({said}); the traceback is in {log.name}", FAILED)


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send everything that is printed meanwhile to standard error, by compiled libraries too."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
