"""Commands about data and models: sample, train, evaluate, solve, landscape, convert."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import (
    RIDGE_RULES,
    add_data_options,
    fraction,
    not_negative,
    output_file,
    positive,
    read_checkpoint,
    read_checkpoints,
    read_data,
    ridge,
    share,
    whole,
)
from fisherdash.errors import InputError

if TYPE_CHECKING:
    from fisherdash.fisher import HeadForm, Options
    from fisherdash.train import EpochReport

METHODS = ("forces", "laplacian", "gradient")
HEADS: "dict[str, HeadForm]" = {"shared": "shared", "by-element": "by element"}


def add_sample(parser: argparse.ArgumentParser) -> None:
    """The molecule, its temperature and how many frames."""
    parser.add_argument("molecule", help="an ASE g2 name (CH3CH2OH) or a structure file")
    parser.add_argument(
        "--temperature",
        type=positive,
        required=True,
        metavar="K",
        help="temperature of the sample, usually 300 to 1000 K",
    )
    parser.add_argument(
        "--frames",
        type=whole(1),
        required=True,
        metavar="M",
        help="number of frames, usually 500 to 2000",
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="file to write")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the dynamics")
    parser.add_argument(
        "--interval-fs", type=positive, default=50.0, help="time from one frame to the next, fs"
    )
    parser.add_argument(
        "--equilibration-ps", type=not_negative, default=5.0, help="time before the first frame, ps"
    )


def sample(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Make a Boltzmann data set of a small molecule: Langevin dynamics on the GFN2-xTB potential.

    The file has every frame within seconds; Ctrl-C keeps those that were made.
    """
    out = output_file(args.out, ".npz", inputs=[args.molecule])
    from fisherdash import reference, tasks

    task = tasks.sample(
        reference.molecule(args.molecule),
        out,
        temperature=args.temperature,
        frames=args.frames,
        seed=args.seed,
        interval_fs=args.interval_fs,
        equilibration_ps=args.equilibration_ps,
    )
    data, _ = console.follow(task)
    if data is None:
        raise InputError("sampling was stopped before the first frame; nothing was written.")
    if len(data) < args.frames:
        console.note(f"stopped: {out} has {len(data)} of {args.frames} frames")
    return {
        "frames": len(data),
        "atoms": data.num_atoms,
        "temperature_K": data.temperature,
        "energy_std_eV": float(data.energies.std()),
        "force_rms_eV_per_A": float((data.forces**2).mean() ** 0.5),
    }


def add_train(parser: argparse.ArgumentParser) -> None:
    """Data, network and schedule; the defaults are the published report's."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="frames with energies and forces: npz, extended XYZ, or see --format",
    )
    parser.add_argument("--out", required=True, metavar="CKPT", help="file to write")
    parser.add_argument(
        "--frames", type=whole(1), help="number of training frames (default: the rest)"
    )
    parser.add_argument(
        "--valid", type=whole(1), help="number of validation frames (default: a tenth)"
    )
    parser.add_argument(
        "--epochs", type=whole(1), default=100, help="passes over the training frames"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="seed of split, first weights and order of frames"
    )
    _add_network(parser.add_argument_group("network"))
    _add_schedule(parser.add_argument_group("schedule"))
    parser.add_argument("--resume", action="store_true", help="go on with one that was stopped")
    parser.add_argument("--name", help="of the model (default: from --out)")
    add_data_options(parser)


def _add_network(network: "argparse._ArgumentGroup") -> None:
    network.add_argument(
        "--features", type=whole(1), default=32, help="numbers per atom, usually 16 to 64"
    )
    network.add_argument(
        "--max-degree", type=whole(0), default=2, help="highest degree of the features, 0 to 3"
    )
    network.add_argument(
        "--iterations",
        type=whole(1),
        default=3,
        help="rounds of messages between neighbours, usually 2 to 4",
    )
    network.add_argument(
        "--basis", type=whole(2), default=32, help="radial basis functions, usually 8 to 32"
    )
    network.add_argument(
        "--cutoff",
        type=positive,
        default=3.0,
        metavar="Å",
        help="distance at which atoms stop seeing each other, usually 3 to 6",
    )


def _add_schedule(schedule: "argparse._ArgumentGroup") -> None:
    schedule.add_argument(
        "--batch-size",
        type=whole(1),
        default=30,
        help="frames of one step of the optimiser, usually 5 to 50",
    )
    schedule.add_argument(
        "--learning-rate",
        type=positive,
        default=0.01,
        help="learning rate of Adam, usually 0.001 to 0.01",
    )
    schedule.add_argument(
        "--forces-weight",
        type=not_negative,
        default=1.0,
        help="weight of the forces in the loss, usually 1 to 100",
    )
    schedule.add_argument(
        "--schedule",
        choices=("anneal", "cosine", "constant"),
        default="anneal",
        help="learning rate over time",
    )
    schedule.add_argument(
        "--average",
        type=share,
        default=0.0,
        help="moving average of the weights: share that a step leaves of it, such as 0.999",
    )
    schedule.add_argument(
        "--clip",
        type=not_negative,
        default=0.0,
        help="limit gradients to so many times their usual length; 0: never",
    )
    schedule.add_argument(
        "--sharpness-radius",
        type=not_negative,
        default=0.0,
        help="of sharpness-aware training, which doubles the time",
    )
    schedule.add_argument("--patience", type=whole(1), help="epochs without gain before it stops")


def train(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Train a force field on energies and forces.

    Ctrl-C ends it and keeps the best network so far.
    """
    out = output_file(args.out, inputs=[args.data])
    data = read_data(args.data, args, console)
    from fisherdash import tasks
    from fisherdash.potentials.e3x import ModelConfig
    from fisherdash.train import TrainSettings

    def chosen(declared: Any, *others: str) -> dict[str, Any]:
        names = (field.name for field in fields(declared) if field.name not in others)
        return {name: getattr(args, name) for name in names}

    config = ModelConfig(**chosen(ModelConfig, "head_elements"))
    settings = TrainSettings(**chosen(TrainSettings))
    valid = args.valid if args.valid is not None else max(1, len(data) // 10)
    frames = args.frames if args.frames is not None else max(1, len(data) - valid)
    task = tasks.train(
        config,
        data,
        settings,
        out,
        frames=frames,
        valid=valid,
        name=args.name or out.stem,
        resume=args.resume,
    )
    _, report = console.follow(task)
    report = kept(report)
    console.note(ending(report, out))
    return trained(report)


def kept(report: "EpochReport | None") -> "EpochReport":
    """The last report of a training; InputError when it kept no network."""
    if report is not None and report.checkpoint is not None:
        return report
    if report is not None and report.status == "diverged":
        raise InputError(
            "training diverged in its first epoch, nothing was written; lower --learning-rate."
        )
    raise InputError("training was stopped before its first epoch was done; nothing was written.")


def trained(report: "EpochReport") -> dict[str, Any]:
    """The keys promised to scripts; the errors are those of the network that was kept."""
    assert report.checkpoint is not None
    best = report.best_errors
    return {
        "epochs": report.epoch,
        "parameters": report.checkpoint.num_parameters,
        "train_force_rmse_eV_per_A": best["train_force_rmse"],
        "valid_force_rmse_eV_per_A": best["valid_force_rmse"],
        "valid_force_mae_eV_per_A": best["valid_force_mae"],
        "valid_energy_rmse_eV": best["valid_energy_rmse"],
        "seconds_per_epoch": report.seconds,
        "compile_seconds": report.compile_seconds,
    }


def ending(report: "EpochReport", out: Path) -> str:
    """How the training ended and which network was kept."""
    said = f"{report.status} after epoch {report.epoch} of {report.epochs}; "
    said += f"kept the network of epoch {report.best_epoch}, the best on the validation frames"
    if report.status == "cancelled":
        return f"{said}; the same command with --resume goes on"
    if report.status == "diverged":
        return f"{said}; a lower --learning-rate may help"
    return f"{said}. {report.nothing_learned}".removesuffix(". ")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """A checkpoint and the data that it is held against."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a trained model, as train writes it")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="frames with energies and forces: npz, extended XYZ, or see --format",
    )
    add_data_options(parser)


def evaluate(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Errors of a checkpoint on a data set, in forces and in energies."""
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console)
    from fisherdash import tasks

    found, _ = console.follow(tasks.evaluate({args.checkpoint: model}, data))
    errors = found[args.checkpoint]
    return {
        "force_rmse_eV_per_A": errors.force_rmse,
        "force_mae_eV_per_A": errors.force_mae,
        "energy_rmse_eV": errors.energy_rmse,
        "energy_mae_eV": errors.energy_mae,
        "frames": errors.frames,
    }


def add_solve(parser: argparse.ArgumentParser) -> None:
    """What to re-fit, on which data, and how strongly to hold on to the default head."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a trained model, as train writes it")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="frames with energies and forces: npz, extended XYZ, or see --format",
    )
    parser.add_argument("--out", required=True, metavar="CKPT2", help="file to write")
    _add_fit(parser)
    _add_dynamics(parser.add_argument_group("for --ridge stable"))
    add_data_options(parser)


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="forces",
        help="from forces, from positions and the temperature alone, or by gradient descent",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave out the test of the temperature, which takes most of the time",
    )
    parser.add_argument(
        "--ridge",
        type=ridge,
        default="auto",
        metavar="|".join((*RIDGE_RULES, "VALUE")),
        help="pull towards the default head: by held-out frames, marginal likelihood, generalised "
        "cross-validation, short dynamics along the path, or as a multiple of the largest "
        "eigenvalue",
    )
    parser.add_argument(
        "--head", choices=HEADS, default="shared", help="one for all atoms, or one for each element"
    )
    parser.add_argument(
        "--energy-weight",
        type=not_negative,
        default=0.0,
        metavar="W",
        help="of the squared energy error against the mean squared force component, 1/Å²",
    )
    parser.add_argument(
        "--probes",
        type=whole(1),
        metavar="P",
        help="random directions for each frame's Laplacians, for large molecules; exact without",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="with --json: also the path, the spectrum, the head, the posterior and the runs",
    )
    parser.add_argument(
        "--holdout",
        type=fraction,
        default=0.2,
        help="share of the frames that the fit does not see",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="seed of the choice of these frames"
    )
    parser.add_argument(
        "--temperature",
        type=positive,
        metavar="K",
        help="temperature of the data, where the file says none or a wrong one",
    )


def _add_dynamics(dynamics: "argparse._ArgumentGroup") -> None:
    dynamics.add_argument(
        "--replicas", type=whole(2), default=24, help="trajectories of every candidate head"
    )
    dynamics.add_argument(
        "--picoseconds", type=positive, default=1.0, help="length of each trajectory, ps"
    )
    dynamics.add_argument(
        "--points", type=whole(1), default=7, help="candidate heads along the ridge path"
    )
    dynamics.add_argument("--timestep-fs", type=positive, default=0.5, help="length of a step, fs")
    dynamics.add_argument(
        "--md-temperature",
        type=positive,
        metavar="K",
        help="temperature of the first momenta (default: that of the data)",
    )


def solve(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Re-fit the last layer of a checkpoint in closed form: its score matches the data's."""
    out = output_file(args.out, inputs=[args.checkpoint, args.data])
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    from fisherdash import tasks
    from fisherdash.fisher.refit import details, summary

    refit, _ = console.follow(tasks.solve(model, data, _options(args), out))
    for warning in refit.warnings:
        console.note(f"warning: {warning}")
    console.note(refit.verdict)
    if refit.boltzmann is not None and refit.boltzmann.consistent:
        console.note(refit.boltzmann.verdict)
    if refit.kl is None and not args.quick:
        console.note("the data have no temperature; --temperature K adds the KL divergence")
    return summary(refit) | ({"details": details(refit)} if args.details else {})


def _options(args: argparse.Namespace) -> "Options":
    from fisherdash.fisher import Options, StabilitySettings

    return Options(
        method=args.method,
        ridge=args.ridge,
        head=HEADS[args.head],
        energy_weight=args.energy_weight,
        test_boltzmann=not args.quick,
        probes=args.probes,
        holdout=args.holdout,
        seed=args.seed,
        stability=StabilitySettings(
            replicas=args.replicas,
            picoseconds=args.picoseconds,
            timestep=args.timestep_fs,
            temperature=args.md_temperature,
            points=args.points,
            seed=args.seed,
        ),
    )


def add_landscape(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, the frames of the loss, the step and the plane."""
    parser.add_argument("checkpoints", metavar="CKPT", nargs="+", help="trained models, any number")
    parser.add_argument("--data", required=True, help="frames of which the loss is made")
    parser.add_argument(
        "--frames", type=whole(1), default=100, help="how many of them, evenly spread"
    )
    parser.add_argument(
        "--radius",
        type=not_negative,
        default=0.05,
        metavar="RHO",
        help="ρ, length of the step up the gradient that measures sharpness",
    )
    parser.add_argument(
        "--head-only", action="store_true", help="move the head alone; the body stays as it is"
    )
    parser.add_argument(
        "--forces-weight", type=not_negative, default=1.0, help="weight of the forces in the loss"
    )
    parser.add_argument("--out", metavar="FILE.npz", help="where the surfaces go; none otherwise")
    parser.add_argument(
        "--span",
        type=positive,
        default=0.25,
        help="how far the surface reaches, in parts of the weights",
    )
    parser.add_argument(
        "--points", type=whole(3), default=11, help="along each direction, an odd number"
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the two directions")
    parser.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float32",
        help="precision of the network",
    )
    add_data_options(parser)


def landscape(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Sharpness of the loss around checkpoints, and with --out its surface on a random plane.

    The loss is that of training, in (kcal/mol)²; all checkpoints are looked at in the same way.
    """
    out = output_file(args.out, ".npz", inputs=[args.data]) if args.out else None
    models = read_checkpoints(args.checkpoints)
    data = read_data(args.data, args, console)
    from fisherdash import tasks
    from fisherdash.landscape import Settings, evenly

    settings = Settings(
        frames=args.frames,
        radius=args.radius,
        scope="head" if args.head_only else "all",
        surfaces=out is not None,
        span=args.span,
        points=args.points,
        seed=args.seed,
        forces_weight=args.forces_weight,
        precision=args.precision,
    )
    found, _ = console.follow(tasks.landscape(models, data, settings, out))
    sharp = {name: one.sharpness for name, one in found.items()}
    return {
        "frames": len(evenly(data, args.frames)),
        "radius": args.radius,
        "sharpness_kcal2_per_mol2": {name: one.value for name, one in sharp.items()},
        "loss_kcal2_per_mol2": {name: one.here.value for name, one in sharp.items()},
        "force_rmse_eV_per_A": {name: one.here.force_rmse for name, one in sharp.items()},
        "raised_force_rmse_eV_per_A": {name: one.raised.force_rmse for name, one in sharp.items()},
        **({"surfaces": out} if out else {}),
    }


def add_convert(parser: argparse.ArgumentParser) -> None:
    """The file, and what it does not say of itself."""
    parser.add_argument(
        "parameters", metavar="FILE", help="what flax.serialization.to_bytes(params) wrote"
    )
    parser.add_argument("--out", required=True, metavar="CKPT", help="file to write")
    parser.add_argument(
        "--cutoff",
        type=positive,
        required=True,
        metavar="Å",
        help="cutoff radius that the network was trained with",
    )
    parser.add_argument(
        "--units",
        choices=("eV", "kcal/mol", "hartree"),
        required=True,
        help="unit of the energies that it was trained on",
    )
    parser.add_argument(
        "--mean-energy",
        type=float,
        default=0.0,
        help="that was subtracted from the energies, in the same units (default: 0)",
    )


def convert(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Make a checkpoint of the parameter file that the public E3x tutorial on ethanol writes."""
    out = output_file(args.out, inputs=[args.parameters])
    from fisherdash.potentials import checkpoint
    from fisherdash.potentials.e3x import tutorial

    try:
        data = Path(args.parameters).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {args.parameters!r}: {error.strerror}") from error
    model = tutorial.load_bytes(
        data,
        cutoff=args.cutoff,
        energy_unit=args.units,
        mean_energy=args.mean_energy,
        name=out.stem,
    )
    checkpoint.save(model, out)
    return {
        **model.config.to_json(),
        "elements": list(model.elements),
        "parameters": model.num_parameters,
    }
