"""Re-fit the last layer of a checkpoint in closed form, so that its score matches the data's."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fisherdash.cli.common import Console
from fisherdash.cli.options import (
    add_data_options,
    auto_or_not_negative,
    fraction,
    output_file,
    positive,
    read_checkpoint,
    read_data,
    whole,
)
from fisherdash.errors import InputError

if TYPE_CHECKING:
    from fisherdash.fisher import Refit

HELP = "re-fit the last layer"
METHODS = ("forces", "laplacian", "gradient")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to re-fit, on which data, and how strongly to hold on to the default head."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a trained network")
    parser.add_argument("data", metavar="DATA", help="any file that the loader knows")
    parser.add_argument("--out", required=True, metavar="CKPT2", help="file to write")
    parser.add_argument(
        "--method", choices=METHODS, default="forces", help="forces alone in this version"
    )
    parser.add_argument(
        "--ridge",
        type=auto_or_not_negative,
        default="auto",
        metavar="auto|VALUE",
        help="pull towards the default head; auto chooses it on held-out frames",
    )
    parser.add_argument("--holdout", type=fraction, default=0.2, help="share of the frames")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the held-out frames")
    parser.add_argument(
        "--temperature", type=positive, metavar="K", help="of the data, where the file is wrong"
    )
    add_data_options(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Solve and write the re-fitted checkpoint."""
    if args.method != "forces":
        raise InputError(
            f"--method {args.method} is not available in this version; use --method forces."
        )
    out = output_file(args.out, inputs=[args.checkpoint, args.data])
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    from fisherdash import checkpoint, fisher

    with console.stoppable() as cancel:
        refit = fisher.solve(
            model,
            data,
            ridge=args.ridge,
            holdout=args.holdout,
            seed=args.seed,
            cancel=cancel,
            progress=console.progress,
        )
        checkpoint.save(refit.checkpoint, out)
    for warning in refit.warnings:
        console.note(f"warning: {warning}")
    console.note(refit.verdict)
    return summary(refit, args.method)


def summary(refit: "Refit", method: str) -> dict[str, Any]:
    """The keys promised to scripts; divergence and errors are those on held-out frames."""
    return {
        "method": method,
        "ridge": refit.ridge,
        "condition_number": refit.condition_number,
        "effective_rank": refit.effective_rank,
        "head_norm": refit.head_norm,
        "fisher_divergence": refit.fisher_divergence,
        "force_rmse_eV_per_A": refit.force_rmse,
        "boltzmann": None,
        "kl_eV": None,
    }
