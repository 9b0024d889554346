"""Commands about dynamics, of chosen models or of whole populations: simulate to study."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.models import kept, trained
from fisherdash.cli.options import (
    add_run_folder,
    check_model_file,
    output_file,
    output_folder,
    read_checkpoint,
    read_checkpoints,
    read_data,
    run_folder,
    whole,
)
from fisherdash.errors import InputError
from fisherdash.settings import (
    ImportSettings,
    LoadSettings,
    MDSettings,
    add_options,
    from_arguments,
)
from fisherdash.text import cell, harmless

if TYPE_CHECKING:
    from fisherdash.workspace import Run

ENDINGS = (".xyz", ".html", ".svg", ".csv")


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, initial states and length."""
    parser.add_argument(
        "checkpoints", metavar="CKPT", nargs="+", help="the first is compared with the others"
    )
    parser.add_argument("--data", required=True, help="frames to draw initial positions from")
    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run, a new one")
    add_options(parser, MDSettings)
    add_options(parser.add_argument_group("data"), LoadSettings)


def simulate(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """NVE molecular dynamics of every checkpoint, all from the same positions and momenta.

    Ctrl-C ends the run and keeps what was done.
    """
    out = output_folder(args.out)
    models = read_checkpoints(args.checkpoints)
    data = read_data(args.data, args, console)
    from fisherdash import tasks
    from fisherdash.dataset.timestep import timestep_warning

    temperature = args.temperature or data.temperature or MDSettings.temperature
    if args.temperature is None and data.temperature is None:
        console.note(f"the data have no temperature: starting at {temperature:g} K (--temperature)")
    elif args.temperature is None:
        console.note(f"starting at the temperature of the data, {temperature:g} K")
    settings = from_arguments(MDSettings, args, temperature=temperature)
    if too_long := timestep_warning(settings.timestep, data.atomic_numbers):
        console.note(f"warning: {too_long}")
    task = tasks.simulate(models, data, settings, out, command=args.command_line)
    folder, _ = console.follow(task)
    return _simulated(folder)


def _simulated(folder: Path) -> dict[str, Any]:
    """The keys promised to scripts; ``steps`` is how far it came."""
    from fisherdash import analysis, workspace

    run = workspace.open_run(folder)
    traj = run.trajectories()
    drift, failures = analysis.head_drift(traj), traj.failure_counts()
    return {
        "run": str(run.folder),
        "steps": run.step,
        "replicas": run.header.settings["replicas"],
        "steps_per_second": run.steps_per_second,
        "exploded": {name: sum(kinds.values()) for name, kinds in failures.items()},
        "failures": failures,
        "drift_meV_per_atom_per_ps": {name: found.value for name, found in drift.items()},
    }


add_resume = add_run_folder  # everything else is in the folder


def resume(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Resume a run or a training that was stopped or killed, exactly where it was."""
    folder = run_folder(args)
    from fisherdash import tasks

    if not tasks.is_training(folder):
        console.follow(tasks.resume_simulation(folder))
        return _simulated(folder)
    model, report = console.follow(tasks.resume_training(folder))
    return {"model": model, **trained(kept(report))}


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The run, and the reference potential for the last frames of its survivors."""
    add_run_folder(parser)
    parser.add_argument(
        "--reference",
        metavar="DATA",
        help="judge the survivors' last frames by the potential that labelled these data: their "
        "energies in standard deviations of the data; kept with the run. Runs on GFN2-xTB data "
        "have it from the beginning",
    )
    parser.add_argument(
        "--calculator",
        metavar="MODULE:OBJECT",
        help="the ASE calculator that labelled them, where the data do not say which it was",
    )
    add_options(parser.add_argument_group("data"), LoadSettings)


def compare(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Statistics of a run: drift, survival and their paired comparison, failures counted.

    With more than two heads every number of a comparison stands under the names of its pair.
    """
    folder = run_folder(args)
    if args.calculator and not args.reference:
        raise InputError("--calculator judges frames against data: give these with --reference")
    import numpy as np

    from fisherdash import analysis, workspace
    from fisherdash.dataset.timestep import timestep_warning

    run = workspace.open_run(folder)
    if args.reference:
        from fisherdash import exchange

        data = read_data(args.reference, args, console)
        console.follow(exchange.judge(run, data, args.calculator))
    traj = run.trajectories()
    if too_long := timestep_warning(traj.timestep, np.array(run.header.atomic_numbers)):
        console.note(f"warning: {too_long}")
    comparison = analysis.compare(traj)
    console.note(comparison.sentence)
    for caution in comparison.cautions:
        console.note(caution)
    found = comparison.to_json()
    if "every_pair" in found and not args.json:  # a row that does not name its pair misleads
        for key in ("pairs", "paired_difference", "logrank_p_value"):
            del found[key]
    return found


def add_export(parser: argparse.ArgumentParser) -> None:
    """The run, the file, and which trajectory; or a checkpoint and its original."""
    parser.add_argument(
        "run_folder",
        metavar="RUN",
        help="the folder of a run; with --native or --torch a checkpoint",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=f"one of {' '.join(ENDINGS)}, or with --native or --torch any",
    )
    parser.add_argument(
        "--native",
        metavar="ORIGINAL",
        help="write the head of a checkpoint back into what was imported: a file of SchNetPack, "
        "MACE or SO3LR, or a folder of NeuroChem",
    )
    add_options(parser, ImportSettings, without=("elements",))
    parser.add_argument(
        "--torch",
        action="store_true",
        help="write the head of a checkpoint of MACE, SO3LR or NequIP, of any form, as a folder "
        "with a module of torch that changes the library's own model",
    )
    parser.add_argument(
        "--head", metavar="NAME", help="whose trajectory goes into an .xyz (default: the first)"
    )
    parser.add_argument(
        "--replica",
        type=whole(1, 10**6),
        metavar="N",
        help="which of its replicas, from 1 (default: 1)",
    )


def export(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Export a trajectory of a run, its figure, its numbers, or all in one report.

    The ending of FILE says what: .xyz is one trajectory (extended XYZ with times, energies and
    velocities), .html a report that stands alone, .svg the curves (drawn by Chromium), .csv the
    numbers of the comparison. With --native a re-fitted head goes back into the file of the library
    that its network came from, with --torch into a module that goes onto that file's model.
    """
    if args.native is not None or args.torch:
        return _native(args, console)
    folder, out = run_folder(args), output_file(args.out)
    if out.suffix not in ENDINGS:
        raise InputError(f"--out {args.out!r} must end in one of {', '.join(ENDINGS)}.")
    if out.suffix != ".xyz" and (args.head or args.replica):
        raise InputError("--head and --replica choose a trajectory: give --out a name with .xyz")
    from fisherdash import workspace

    found = workspace.open_run(folder)
    if not len(found.times):
        raise InputError(f"the run {folder.name!r} has no frames yet")
    is_one = out.suffix == ".xyz"
    from fisherdash import exchange

    trajectory = _trajectory(found, args) if is_one else ()
    parts = (lambda: trajectory) if is_one else lambda: [_whole(found, out.suffix)]
    size, _ = console.follow(exchange.export_run(found, out, parts))
    return {"run": found.id, "out": str(out), "frames": len(found.times), "bytes": size}


def _native(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    from fisherdash import exchange

    model, unit = read_checkpoint(args.run_folder), from_arguments(ImportSettings, args).energy_unit
    if args.torch:
        if args.native is not None:
            raise InputError("--torch needs no original: give --native or --torch")
        out = output_folder(args.out)
        work = exchange.write_torch_head(model, out)
    else:
        check_model_file(args.native)
        original, inputs = Path(args.native), [args.run_folder, args.native]
        out = output_folder(args.out) if original.is_dir() else output_file(args.out, inputs=inputs)
        work = exchange.write_back(model, original, out, unit)
    found, _ = console.follow(work)
    for note in found.notes:
        console.note(note)
    return {
        "library": found.library,
        "out": str(out),
        "force_difference_eV_per_A": found.force_difference,
    }


def _trajectory(found: "Run", args: argparse.Namespace) -> Iterator[bytes]:
    from fisherdash.recordings import extended_xyz

    names = found.header.names
    wanted = names[0] if args.head is None else harmless(args.head)
    if wanted not in names:
        raise InputError(f"the run has no head {args.head!r}; it has {', '.join(names)}")
    head = names.index(wanted)
    return extended_xyz(found, head, (args.replica or 1) - 1)


def _whole(found: "Run", ending: str) -> bytes:
    return _text(found, ending).encode("utf-8", "replace")


def _text(found: "Run", ending: str) -> str:
    from fisherdash import analysis, tasks
    from fisherdash.plots import report

    traj = found.trajectories()
    if ending == ".html":
        return report.run_report(found, tasks.commands_of(found))
    if ending == ".svg":
        return report.run_picture(traj, found.header.roles)
    return report.comparison_numbers(analysis.compare(traj)).map(cell).to_csv(index=False)


def add_study(parser: argparse.ArgumentParser) -> None:
    """The specification, the folder, and where the work is done."""
    parser.add_argument(
        "spec", metavar="SPEC.toml", help="what to train, re-fit and simulate (docs/study.md)"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the study: a new one, or one to go on with",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tls://HOST:8786",
    )
    parser.add_argument(
        "--unencrypted",
        action="store_true",
        help="take a tcp:// scheduler on another machine, where everybody in its network can run "
        "programs as you",
    )
    parser.add_argument(
        "--workers",
        type=whole(0, 4096),
        help="processes on this machine (default: one a core); 0 for this process alone",
    )


def study(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """A population of models: train, re-fit and simulate everything that a TOML file asks for.

    Finished stages are kept, so the same command resumes after Ctrl-C, and adds what is new in the
    file. A study's folder keeps the file and copies of the data: DIR/study.toml --out DIR resumes
    it wherever the data were.
    """
    from fisherdash import tasks
    from fisherdash.study import check_scheduler, read_begun, read_spec
    from fisherdash.study.plan import SPEC_FILE
    from fisherdash.study.spec import written

    if args.scheduler is not None and not args.unencrypted:
        check_scheduler(args.scheduler)
    path, out = Path(args.spec), Path(args.out)
    text = written(path)
    begun = path.resolve() == (out / SPEC_FILE).resolve()
    spec = read_begun(path.parent) if begun else read_spec(text, path.parent)
    task = tasks.study(spec, out, workers=args.workers, scheduler=args.scheduler)
    _, last = console.follow(task)
    assert last is not None
    if last.done + last.failed < last.models:
        console.note("stopped; the same command resumes it")
    return {"models": last.models, "done": last.done, "failed": last.failed}
