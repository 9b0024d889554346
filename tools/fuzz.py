"""Damaged and hostile files for every reader: each must be read or refused with a sentence.

    python tools/fuzz.py --inputs 100000 --seed 0          all readers, by their share
    python tools/fuzz.py --reader npz --only 1234          one input again, with its traceback

Each reader runs in a process of its own with a bound on its memory. What counts as a failure: any
exception but InputError, a crash of the process, more memory than the bound, more time than the
limit. Exit status 1 when there was one.
"""

import argparse
import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MEMORY = 512 * 2**20
"""Bytes that reading one input may add to the largest that the process has ever been."""
ADDRESSES = 4 * 2**30
"""Bytes of address space beyond what the process has at its start, where a bomb ends."""
SECONDS = 10.0
"""Time for one input on a busy machine; they are all small."""


class TooSlow(BaseException):
    """No Exception, so that no parser swallows it."""


def _ring(number: int, frame: object) -> None:
    raise TooSlow


def worker(name: str, begin: int, end: int, seed: int, mark: Path) -> None:
    """Read the inputs of one reader and say of each, as a JSON line, what came of it."""
    from tests.fuzz.readers import READERS

    warnings.simplefilter("ignore")
    faulthandler.enable()
    reader = READERS[name]
    signal.signal(signal.SIGALRM, _ring)
    for file in reader.files:  # what is loaded once is loaded now, before memory is looked at
        reader.read(file, reader.example(seed, 0)[1])
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (pages + ADDRESSES, pages + ADDRESSES))
    for index in range(begin, end):
        mark.write_text(str(index))
        data, chance = reader.example(seed, index)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        began, why, outcome = time.monotonic(), "", ""
        try:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            outcome = "read" if reader.read(data, chance) else "refused"
        except TooSlow:
            why = f"longer than {SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - most
        if grown > MEMORY:
            why = f"{grown / 2**20:.0f} MiB more memory"
        if why:
            seconds = time.monotonic() - began
            _tell(
                {"failure": index, "why": f"{why[:300]} after {seconds:.1f} s, {len(data)} bytes"}
            )
        _tell({"outcome": "failed" if why else outcome})


def _tell(fields: dict[str, object]) -> None:
    print(json.dumps(fields), flush=True)


def fuzz(name: str, inputs: int, seed: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Run the inputs of one reader in workers; one that dies is a failure, and the next goes on."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    begin, end = first, first + inputs
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        environment["FISHERDASH_WORKSPACE"] = folder
        mark = Path(folder) / "at"
        while begin < end:
            command = [sys.executable, __file__, "--worker", name, str(begin), str(end), str(seed),
                       str(mark)]  # fmt: skip
            log = Path(folder) / "log"
            with log.open("w") as errors, subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=ROOT
            ) as process:  # fmt: skip
                assert process.stdout is not None
                for line in process.stdout:
                    said = json.loads(line)
                    if "outcome" in said:
                        counts[said["outcome"]] += 1
                    else:
                        failures.append(f"{name} {said['failure']}: {said['why']}")
            if process.returncode == 0:
                break
            if not mark.exists():
                raise RuntimeError(f"the worker did not start:\n{log.read_text()[-2000:]}")
            at = int(mark.read_text())
            failures.append(f"{name} {at}: the process ended with status {process.returncode}")
            counts["failed"] += 1
            begin = at + 1
    return counts, failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the count of each reader and every failure."""
    from tests.fuzz.readers import READERS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=sorted(READERS), help="only this one")
    parser.add_argument("--only", type=int, help="this input alone, with its traceback")
    options = parser.parse_args(arguments)
    chosen = [READERS[options.reader]] if options.reader else list(READERS.values())
    if options.only is not None:
        for reader in chosen:
            data, chance = reader.example(options.seed, options.only)
            print(f"{reader.name} {options.only}: {len(data)} bytes, begins {data[:200]!r}")
            print("read" if reader.read(data, chance) else "refused")
        return 0
    total, failed = sum(reader.share for reader in chosen), []
    print(f"{'reader':<12}{'inputs':>9}{'read':>9}{'refused':>9}{'failed':>8}{'seconds':>9}")
    for reader in chosen:
        began = time.monotonic()
        inputs = max(1, round(options.inputs * reader.share / total))
        counts, failures = fuzz(reader.name, inputs, options.seed)
        failed += failures
        numbers = counts["read"], counts["refused"], counts["failed"]
        row = "".join(f"{count:>9}" for count in (inputs, *numbers[:2])) + f"{numbers[2]:>8}"
        print(f"{reader.name:<12}{row}{time.monotonic() - began:>9.0f}", flush=True)
    for line in failed[:50]:
        print(line)
    print(f"{len(failed)} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name, begin, end, seed, mark = sys.argv[2:]
        worker(name, int(begin), int(end), int(seed), Path(mark))
    else:
        sys.exit(main())
