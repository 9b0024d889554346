"""Re-fit the last layer of a checkpoint in closed form, so that its score matches the data's."""

import argparse
from collections.abc import Mapping
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
    read_data,
    ridge,
    whole,
)

if TYPE_CHECKING:
    from fisherdash.fisher import HeadForm, Options


HELP = "re-fit the last layer"
METHODS = ("forces", "laplacian", "gradient")
HEADS: "dict[str, HeadForm]" = {"shared": "shared", "by-element": "by element"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Solve and write the re-fitted checkpoint."""
    out = output_file(args.out, inputs=[args.checkpoint, args.data])
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    from fisherdash import fisher
    from fisherdash.fisher.refit import details, summary
    from fisherdash.potentials import checkpoint

    options = _options(args)

    def progress(stage: str, share: float) -> None:
        console.progress(round(100 * share), 100, stage)

    with console.stoppable() as cancel:
        refit = fisher.solve(model, data, options, cancel=cancel, progress=progress)
        checkpoint.save(refit.checkpoint, out)
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
