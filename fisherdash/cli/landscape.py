"""Sharpness of the loss around checkpoints, and with --out its surface on a random plane.

The loss is that of training, in (kcal/mol)²; all checkpoints are looked at in the same way.
"""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import (
    add_data_options,
    not_negative,
    output_file,
    positive,
    read_data,
    whole,
)
from fisherdash.cli.simulate import named

if TYPE_CHECKING:
    from fisherdash.landscape import Landscape


HELP = "how sharp the loss is around checkpoints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Look around every checkpoint."""
    out = output_file(args.out, ".npz", inputs=[args.data]) if args.out else None
    models = named(args.checkpoints)
    data = read_data(args.data, args, console)
    from fisherdash import landscape

    settings = landscape.Settings(
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

    def watch(share: float, name: str) -> None:
        console.progress(round(100 * share), 100, name)

    found: dict[str, Landscape] = {}
    with console.stoppable() as cancel:
        for report in landscape.survey(models, data, settings, cancel=cancel, watch=watch):
            watch(report.share, report.name)
            found = report.found
    if out is not None:
        landscape.save(found, out)
    sharp = {name: one.sharpness for name, one in found.items()}
    return {
        "frames": len(landscape.evenly(data, args.frames)),
        "radius": args.radius,
        "sharpness_kcal2_per_mol2": {name: one.value for name, one in sharp.items()},
        "loss_kcal2_per_mol2": {name: one.here.value for name, one in sharp.items()},
        "force_rmse_eV_per_A": {name: one.here.force_rmse for name, one in sharp.items()},
        "raised_force_rmse_eV_per_A": {name: one.raised.force_rmse for name, one in sharp.items()},
        **({"surfaces": out} if out else {}),
    }
