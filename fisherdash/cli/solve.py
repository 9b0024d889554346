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
    out = output_file(args.out, inputs=[args.checkpoint, args.data])
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    from fisherdash import checkpoint, fisher

    with console.stoppable() as cancel:
        refit = fisher.solve(
            model,
            data,
            method=args.method,
            test_boltzmann=not args.quick,
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
    if refit.boltzmann is not None:
        console.note(refit.boltzmann.verdict)
    return summary(refit, args.method)


def summary(refit: "Refit", method: str) -> dict[str, Any]:
    """The keys promised to scripts; divergence and errors are those on held-out frames."""
    test = refit.boltzmann
    boltzmann = test and {
        "temperature_K": test.temperature,
        "temperature_stderr_K": test.stderr,
        "consistent": test.consistent,
    }
    return {
        "method": method,
        "ridge": refit.ridge,
        "condition_number": refit.condition_number,
        "effective_rank": refit.effective_rank,
        "head_norm": refit.head_norm,
        "fisher_divergence": refit.fisher_divergence,
        "force_rmse_eV_per_A": refit.force_rmse,
        "boltzmann": boltzmann,
        "kl_eV": refit.kl and {name: found.value for name, found in refit.kl.items()},
    }
