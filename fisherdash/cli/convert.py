"""Make a checkpoint of the parameter file that the public E3x tutorial on ethanol writes."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import output_file, positive
from fisherdash.errors import InputError

HELP = "make a checkpoint of an E3x tutorial's parameters"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Infer the hyperparameters from the shapes, convert the units, write the checkpoint."""
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
