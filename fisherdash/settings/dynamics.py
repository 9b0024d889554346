"""Molecular dynamics, and the loss landscape."""

import dataclasses
from typing import ClassVar, Literal

from fisherdash.settings.fields import MOST, Settings, like, setting
from fisherdash.settings.training import MOST_SEED, TrainSettings

Precision = Literal["float32", "float64"]
Scope = Literal["all", "head"]

ROUND_OFF_STEPS = 4000
"""Enough to see a drift of round-off or its absence; double precision takes twice the time."""

# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class MDSettings(Settings):
    """Settings of an NVE run.

    With ``start="relaxed"`` the molecule has no potential energy to begin with and gives away about
    half of its kinetic energy, so that the run ends near half of ``temperature`` (equipartition).
    ``chunk`` is the largest number of frames in one chunk.
    """

    FIELDS: ClassVar[str] = "MD settings have the fields"
    FLOATS: ClassVar[bool] = True

    replicas: int = setting(
        32, label="Replicas", low=1, high=10**6,
        help="Independent trajectories of every model; 16 to 64 show differences in survival.",
    )
    steps: int = setting(
        5000, label="Steps", low=1, high=MOST, step=1000,
        help="Velocity Verlet steps of each replica, 2,000 to 1,000,000. Rare failures need long "
        "runs.",
    )
    timestep: float = setting(
        0.5, label="Time step", unit="fs", flag="--timestep-fs", low=1e-6, high=100, step=0.1,
        help="Usually 0.25 to 1 fs with hydrogen. Part of the drift is the time step's own: it "
        "falls with its square.",
    )
    temperature: float = setting(
        500.0, label="Temperature", unit="K", above=0, high=1e5, step=50,
        unset="that of the data, or 500",
        help="Temperature of the Maxwell–Boltzmann momenta at the start; hotter runs fail sooner.",
    )
    seed: int = setting(
        0, label="Seed", low=0, high=MOST_SEED, help="Seed of the starting frames and momenta."
    )
    record_every: int = setting(
        10, label="Record every", unit="steps", low=1, high=MOST,
        help="Steps from one kept frame to the next, usually 5 to 50; the last step is "
        "always kept.",
    )
    precision: Precision = setting(
        "float32", label="Precision of the network",
        help="Precision of the network; positions, momenta and sums are double precision in any "
        "case. float64 is two to four times slower and tells round-off from the model's own drift.",
    )
    start: Literal["data", "relaxed"] = setting(
        "data", label="Start from",
        help="Start from frames of the data set, or every replica from the minimum of the first "
        "model's potential.",
    )
    clash: float = setting(
        0.85, label="Clash below", unit="of the nearest in the data", flag="--clash", low=0,
        below=1, step=0.05, advanced=True, omitted=True,
        help="Two atoms without a bond count as a failure when they are nearer than this part of "
        "the shortest such distance of their elements in the data, as does a bond 0.5 Å off its "
        "length; 0 looks for no clash. Usually 0.8 to 0.9.",
    )
    chunk: int = setting(64, low=1, high=MOST)

    def settling(self, sampled: float | None) -> str:
        """Near which temperature a run settles, in a sentence; "" where it stays or is unknown.

        Harmonic motion shares its energy equally between kinetic and potential (equipartition).

        Args: sampled: temperature of the frames that it starts from, K.
        """
        hot = self.temperature
        if self.start == "relaxed":
            return (
                "A relaxed start has no potential energy to begin with: vibrations take about half "
                f"of the kinetic energy, so that {hot:g} K settle near {hot / 2:.0f} K."
            )
        if sampled is None or abs(hot - sampled) <= 0.05 * sampled:
            return ""
        return (
            f"Frames sampled at {sampled:g} K with momenta of {hot:g} K settle between the two, "
            f"near {(sampled + hot) / 2:.0f} K."
        )

    def halved(self) -> "MDSettings":
        """The same initial states, times and frames at half the time step, in twice the steps."""
        steps, every = 2 * self.steps, 2 * self.record_every
        return dataclasses.replace(
            self, timestep=self.timestep / 2, steps=steps, record_every=every
        )

    def in_double(self, most: int = ROUND_OFF_STEPS) -> "MDSettings":
        """The same initial states, the network in double precision, at most ``most`` steps."""
        return dataclasses.replace(self, precision="float64", steps=min(self.steps, most))


@dataclasses.dataclass(frozen=True)
class LandscapeSettings(Settings):
    """How to look at the loss around a model; ``surfaces``: whether to map the plane at all."""

    scope: Scope = setting(
        "all", label="Weights that move", flag="--head-only",
        words={"all": "Body and head", "head": "Head alone"},
        help="With the head alone the loss is an exact parabola, and a re-fit moves nothing else.",
    )
    radius: float = setting(
        0.05, label="Length ρ of the step", low=0, high=1e6, step=0.01,
        help="Step ρ up the gradient by which sharpness is measured; usually 0.005 to 0.5. The "
        "head counts in kcal/mol, as in training.",
    )
    frames: int = setting(
        100, label="Frames", low=1, high=10**9, step=50,
        help="Frames of which the loss is made, evenly spread over the data set; the time grows "
        "with them. Usually 50 to 500.",
    )
    surfaces: bool = setting(True)
    span: float = setting(
        0.25, label="Largest step", above=0, high=1e6, step=0.05, advanced=True,
        help="How far the surface reaches along each random direction, in parts of the weights: "
        "0.25 moves every filter by a quarter of its length. Usually 0.05 to 1.",
    )
    points: int = setting(
        11, label="Points along each", low=3, high=1001, step=2, advanced=True,
        help="Points along each direction, an odd number, so that the model itself is one; the "
        "time grows with its square. Usually 9 to 31.",
    )
    seed: int = setting(
        0, label="Seed of the directions", low=0, high=MOST_SEED, advanced=True,
        help="Seed of the two random directions.",
    )
    forces_weight: float = like(TrainSettings, "forces_weight", advanced=True)
    precision: Precision = like(
        MDSettings, "precision", advanced=True,
        help="Precision of the network; sums over frames are double precision in any case.",
    )
