"""The shell commands that do what the pages' buttons do."""

from pathlib import Path
from typing import TYPE_CHECKING

from fisherdash import fisher
from fisherdash.runs.commands import shell_command
from fisherdash.simulate import MDSettings

if TYPE_CHECKING:
    from pages._ui.training_tasks import TrainingPlan


def train_command(plan: "TrainingPlan", out: Path) -> str:
    """The shell command of a training."""
    settings = plan.settings.to_json()
    return shell_command(
        "train",
        plan.data_path,
        out=out,
        frames=plan.frames,
        valid=plan.valid,
        **plan.config.to_json(),
        **settings,
    )


def solve_command(
    checkpoint_path: Path, data_path: Path, out: Path, options: fisher.Options
) -> str:
    """The shell command of a re-fit; what has its default value is left out."""
    usual, stability = fisher.Options(), options.stability
    runs: dict[str, object] = {}
    if options.ridge == "stable":
        runs = {
            "replicas": stability.replicas,
            "picoseconds": stability.picoseconds,
            "points": stability.points,
            "timestep_fs": stability.timestep,
            "md_temperature": stability.temperature,
        }
    return shell_command(
        "solve",
        checkpoint_path,
        data_path,
        out=out,
        method=options.method,
        ridge=options.ridge,
        head=None if options.head == usual.head else options.head.replace(" ", "-"),
        energy_weight=options.energy_weight or None,
        probes=options.probes,
        holdout=None if options.holdout == usual.holdout else options.holdout,
        seed=options.seed,
        quick=not options.test_boltzmann,
        temperature=options.temperature,
        **runs,
    )


def simulate_command(paths: list[Path], data_path: Path, folder: Path, settings: MDSettings) -> str:
    """The shell command of a simulation."""
    return shell_command(
        "simulate",
        *paths,
        data=data_path,
        out=folder,
        replicas=settings.replicas,
        steps=settings.steps,
        timestep_fs=settings.timestep,
        temperature=settings.temperature,
        seed=settings.seed,
        precision=settings.precision,
        start=settings.start,
        record_every=settings.record_every,
    )
