"""Train a force field on energies and forces. Ctrl-C ends it and keeps the best network so far."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import (
    add_data_options,
    not_negative,
    output_file,
    positive,
    read_data,
    share,
    whole,
)
from fisherdash.errors import InputError

if TYPE_CHECKING:
    from fisherdash.dataset import Dataset
    from fisherdash.train import EpochReport


HELP = "train a network on a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Train to the end, to the early stop or to Ctrl-C; write the best network."""
    out = output_file(args.out, inputs=[args.data])
    data = read_data(args.data, args, console)
    from fisherdash import dataset, train
    from fisherdash.potentials import checkpoint
    from fisherdash.potentials.e3x import ModelConfig

    shape = [field.name for field in fields(ModelConfig) if field.name != "head_elements"]
    config = ModelConfig(**{name: getattr(args, name) for name in shape})
    settings = train.TrainSettings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        forces_weight=args.forces_weight,
        schedule=args.schedule,
        average=args.average,
        clip=args.clip,
        sharpness_radius=args.sharpness_radius,
        patience=args.patience,
        seed=args.seed,
    )
    train_set, valid_set = dataset.split(data, *frame_counts(data, args), args.seed)
    last = None
    with console.stoppable() as cancel:
        for report in train.train(
            config,
            train_set,
            valid_set,
            settings,
            cancel=cancel,
            name=args.name or out.stem,
            state_file=state_file(out),
            resume=args.resume,
        ):
            last = report
            console.progress(report.epoch, report.epochs, describe(report))
            # Before the state goes, so that a kill at any moment leaves one of the two.
            if report.checkpoint is not None and report.status not in ("compiling", "running"):
                checkpoint.save(report.checkpoint, out)
        if last is None or last.checkpoint is None:
            raise InputError(nothing_kept(last))
    console.note(ending(last, out))
    return summary(last)


def state_file(out: Path) -> Path:
    """Where an unfinished training keeps what ``--resume`` needs; gone once it has finished."""
    return out.with_name(f"{out.name}.unfinished.npz")


def ending(report: "EpochReport", out: Path) -> str:
    """How the training ended and which network was kept."""
    said = f"{report.status} after epoch {report.epoch} of {report.epochs}; "
    said += f"kept the network of epoch {report.best_epoch}, the best on the validation frames"
    if report.status == "cancelled":
        return f"{said}; the same command with --resume goes on"
    if report.status == "diverged":
        return f"{said}; a lower --learning-rate may help"
    return f"{said}. {report.nothing_learned}".removesuffix(". ")


def nothing_kept(report: "EpochReport | None") -> str:
    """Why there is no network to write."""
    if report is not None and report.status == "diverged":
        return "training diverged in its first epoch, nothing was written; lower --learning-rate."
    return "training was stopped before its first epoch was done; nothing was written."


def frame_counts(data: "Dataset", args: argparse.Namespace) -> tuple[int, int]:
    """Frames for training and for validation: a tenth for validation unless told otherwise."""
    valid = args.valid if args.valid is not None else max(1, len(data) // 10)
    frames = args.frames if args.frames is not None else max(1, len(data) - valid)
    return frames, valid


def describe(report: "EpochReport") -> str:
    """A few words for the progress bar."""
    if not report.epoch:
        return report.status
    left = "" if report.seconds_left is None else f", {report.seconds_left:.0f} s left"
    return f"force RMSE {report.valid_force_rmse * 1000:.1f} meV/Å{left}"


def summary(report: "EpochReport") -> dict[str, Any]:
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
