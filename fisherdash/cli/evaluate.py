"""Errors of a checkpoint on a data set, in forces and in energies."""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import add_data_options, read_checkpoint, read_data

HELP = "errors of a checkpoint on a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint and the data that it is held against."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a trained model, as train writes it")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="frames with energies and forces: npz, extended XYZ, or see --format",
    )
    add_data_options(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Evaluate every frame."""
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console)
    from fisherdash.potentials.evaluate import evaluate

    errors = evaluate(model, data)
    return {
        "force_rmse_eV_per_A": errors.force_rmse,
        "force_mae_eV_per_A": errors.force_mae,
        "energy_rmse_eV": errors.energy_rmse,
        "energy_mae_eV": errors.energy_mae,
        "frames": errors.frames,
    }
