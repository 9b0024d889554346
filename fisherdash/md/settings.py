"""What the user chooses about a molecular-dynamics run."""

import dataclasses
import math
from typing import Any, Literal, get_args

from fisherdash.errors import InputError

Precision = Literal["float32", "float64"]
Start = Literal["data", "relaxed"]

ROUND_OFF_STEPS = 4000
"""Enough to see a drift of round-off or its absence; double precision takes twice the time."""


@dataclasses.dataclass(frozen=True)
class MDSettings:
    """Settings of an NVE run; refuses what makes no sense with an InputError.

    Attributes:
        replicas: independent trajectories of every head.
        steps: velocity Verlet steps of each.
        timestep: Δt in fs.
        temperature: of the Maxwell–Boltzmann momenta at the start, K. With ``start="relaxed"`` the
            molecule has no potential energy to begin with and gives away about half of its kinetic
            energy, so that the run ends near half of this temperature (equipartition).
        seed: of the drawn frames and momenta.
        record_every: steps from one recorded frame to the next; the last step is always recorded.
        precision: of the network. Positions, momenta and sums are double precision in any case.
        start: "data" (frames of the data set) or "relaxed" (every replica at the minimum of the
            first checkpoint's potential, with its own momenta).
        chunk: most frames that one chunk may hold; how many it does hold follows from the speed.
    """

    replicas: int = 32
    steps: int = 5000
    timestep: float = 0.5
    temperature: float = 500.0
    seed: int = 0
    record_every: int = 10
    precision: Precision = "float32"
    start: Start = "data"
    chunk: int = 64

    def __post_init__(self) -> None:
        for name in ("replicas", "steps", "record_every", "chunk"):
            _whole_number(name, getattr(self, name), 1)
        _whole_number("seed", self.seed, 0)
        for name, unit, highest in (("timestep", "fs", 100.0), ("temperature", "K", 1e5)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not 0.0 < value <= highest:
                raise InputError(
                    f"{name} must be above 0 and at most {highest:g} {unit}, received {value!r}"
                )
            object.__setattr__(self, name, float(value))
        for name, choices in (("precision", get_args(Precision)), ("start", get_args(Start))):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} must be one of {', '.join(choices)}, received {getattr(self, name)!r}"
                )

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON-able dict."""
        return dataclasses.asdict(self)

    def halved(self) -> "MDSettings":
        """The same starts, times and frames at half the time step, which takes twice the steps."""
        return dataclasses.replace(
            self,
            timestep=self.timestep / 2,
            steps=2 * self.steps,
            record_every=2 * self.record_every,
        )

    def in_double(self, most: int = ROUND_OFF_STEPS) -> "MDSettings":
        """The same starts and frames with the network in double precision, ``most`` steps long."""
        return dataclasses.replace(self, precision="float64", steps=min(self.steps, most))

    @classmethod
    def from_json(cls, fields: Any) -> "MDSettings":
        """Inverse of :meth:`to_json`; raises InputError for missing or unknown fields."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != names:
            received = sorted(fields) if isinstance(fields, dict) else fields
            raise InputError(f"MD settings have the fields {sorted(names)}, received {received!r}")
        return cls(**fields)


def _whole_number(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise InputError(f"{name} must be a whole number of at least {lowest}, received {value!r}")
