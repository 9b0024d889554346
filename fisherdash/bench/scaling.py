"""How the time of one step of dynamics grows with replicas and atoms, and falls with devices.

Replicas of ethanol are independent, so their time grows in proportion once the device is busy.
Atoms are those of several ethanol molecules, repeated on a grid, as one system. Where all pairs of
atoms are taken the time grows with their square once pairs decide; with a list of neighbours
(:mod:`fisherdash.model.neighbours`: here from 36 atoms on) in proportion to the atoms, but for the
distances among which the neighbours are found, and those are cheap.
The exponent p of t = c·nᵖ is fitted where the time has at least doubled from its least value; what
comes before is the cost of starting a step at all. Where there are several devices they share 1,024
replicas; the exponent of all points is −1 at best.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import numpy as np

from fisherdash.bench import ethanol
from fisherdash.bench.dynamics import stepper
from fisherdash.bench.race import seconds

REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOLECULES = (1, 2, 3, 4, 6, 8, 12, 16, 22)
"""9 to 198 atoms."""

CALL_SECONDS = 0.3
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Growth:
    """Time of a step against the number of something.

    Attributes:
        of: "replicas", "atoms" or "devices".
        counts: of these.
        milliseconds: of one step, the median of several calls.
        exponent: p of t = c·nᵖ where the time has at least doubled, for devices of all points;
            None with fewer than two points.
        stderr: of the exponent; None with fewer than three points.
    """

    of: str
    counts: tuple[int, ...]
    milliseconds: tuple[float, ...]
    exponent: float | None
    stderr: float | None

    @classmethod
    def fitted(cls, of: str, counts: list[int], milliseconds: list[float]) -> "Growth":
        """With the exponent of these times."""
        least = min(milliseconds)
        busy = [k for k, ms in enumerate(milliseconds) if ms >= 2 * least]
        busy = [k for k in busy if k >= milliseconds.index(least)]
        if of == "devices":
            busy = list(range(len(counts)))
        exponent = stderr = None
        if len(busy) >= 2:
            x = np.log([counts[k] for k in busy])
            y = np.log([milliseconds[k] for k in busy])
            exponent, offset = (float(one) for one in np.polyfit(x, y, 1))
            if len(busy) >= 3:
                left = y - exponent * x - offset
                scatter = float(np.sum(left**2)) / (len(busy) - 2)
                stderr = math.sqrt(scatter / float(np.sum((x - x.mean()) ** 2)))
        return cls(of, tuple(counts), tuple(milliseconds), exponent, stderr)


Watch = Callable[[int, int, str], None]
"""Called with the points done, their total and what comes next."""


def scaling(watch: Watch | None = None) -> Iterator[Growth]:
    """Growth with replicas, then with atoms, then with devices where there are several."""
    plan: list[tuple[str, list[tuple[int, int, int | None]]]] = [
        ("replicas", [(count, 1, None) for count in REPLICAS]),
        ("atoms", [(1, count, None) for count in MOLECULES]),
    ]
    if len(devices := device_counts()) > 1:
        plan.append(("devices", [(REPLICAS[-1], 1, count) for count in devices]))
    done, total = 0, sum(len(points) for _, points in plan)
    for of, points in plan:
        counts, times = [], []
        for replicas, molecules, share in points:
            atoms = molecules * len(ethanol.NUMBERS)
            if watch is not None:
                where = f" on {share} devices" if share else ""
                watch(done, total, f"{replicas} replicas of {atoms} atoms{where}")
            counts.append({"replicas": replicas, "atoms": atoms, "devices": share}[of])
            times.append(1e3 * seconds_per_step(replicas, molecules, share))
            done += 1
        yield Growth.fitted(of, counts, times)


def device_counts() -> list[int]:
    """1, 2, 4 … of the local devices."""
    return [2**k for k in range(jax.local_device_count().bit_length())]


def seconds_per_step(replicas: int, molecules: int, devices: int | None = None) -> float:
    """Median time of one step of our loop, calls of about CALL_SECONDS."""
    call = stepper(replicas, molecules, devices)
    call(1)  # compiles
    once = seconds(lambda: call(2)) / 2
    steps = max(1, round(CALL_SECONDS / once))
    return float(np.median([seconds(lambda: call(steps)) / steps for _ in range(ROUNDS)]))
