"""Commands about data and models: sample, train, evaluate, solve, landscape, convert, import."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import (
    add_checkpoint,
    add_data,
    apart,
    check_model_file,
    output_file,
    read_checkpoint,
    read_checkpoints,
    read_data,
    whole,
)
from fisherdash.errors import InputError
from fisherdash.settings import (
    ImportSettings,
    LandscapeSettings,
    LoadSettings,
    ModelConfig,
    Options,
    OutsideSettings,
    SampleSettings,
    SplitSettings,
    StabilitySettings,
    TrainSettings,
    TutorialSettings,
    add_options,
    converter,
    from_arguments,
    shown,
)
from fisherdash.settings.data import METHOD

if TYPE_CHECKING:
    from fisherdash.dataset import Dataset
    from fisherdash.train import EpochReport


def add_sample(parser: argparse.ArgumentParser) -> None:
    """The molecule, its temperature and how many frames."""
    parser.add_argument("molecule", help="an ASE g2 name (CH3CH2OH) or a structure file")
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="file to write")
    add_options(parser, SampleSettings)


def sample(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Make a Boltzmann data set of a small molecule: Langevin dynamics on the GFN2-xTB potential.

    The file has every frame within seconds; Ctrl-C keeps those that were made.
    """
    out = output_file(args.out, ".npz", inputs=[args.molecule])
    from fisherdash import reference, tasks

    settings = from_arguments(SampleSettings, args)
    task = tasks.sample(reference.molecule(args.molecule), out, settings)
    data, _ = console.follow(task)
    if data is None:
        raise InputError("sampling was stopped before the first frame; nothing was written.")
    if len(data) < settings.frames:
        console.note(f"stopped: {out} has {len(data)} of {settings.frames} frames")
    return {
        "frames": len(data),
        "atoms": data.num_atoms,
        "temperature_K": data.temperature,
        "energy_std_eV": float(data.energies.std()),
        "force_rms_eV_per_A": float((data.forces**2).mean() ** 0.5),
    }


def add_inspect(parser: argparse.ArgumentParser) -> None:
    """A data file."""
    add_data(parser)
    add_options(parser, LoadSettings)
    temperature = next(one for one in shown(LoadSettings) if one.name == "temperature")
    parser.add_argument(
        "--temperature",
        type=converter(temperature),
        metavar="K",
        help="at which the frames were sampled",
    )


def inspect(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Show what a data file contains, its units, and warnings about it; nothing is written."""
    data = read_data(args.data, args, console, args.temperature)
    return {
        "frames": len(data),
        "atoms": data.num_atoms,
        "formula": data.formula,
        "energy_mean_eV": float(data.energies.mean()),
        "energy_std_eV": float(data.energies.std()),
        "force_rms_eV_per_A": float((data.forces**2).mean() ** 0.5),
        "temperature_K": data.temperature,
        "units": dict(data.units),
        "left_out": list(data.left_out),
        "notes": list(data.notes),
        "warnings": list(data.warnings),
    }


def add_train(parser: argparse.ArgumentParser) -> None:
    """Data, network and schedule; the defaults are the published report's."""
    add_data(parser)
    parser.add_argument("--out", required=True, metavar="CKPT", help="file to write")
    add_options(parser.add_argument_group("frames"), SplitSettings)
    add_options(parser.add_argument_group("network"), ModelConfig)
    add_options(parser.add_argument_group("training"), TrainSettings)
    parser.add_argument("--resume", action="store_true", help="go on with one that was stopped")
    parser.add_argument("--name", help="of the model (default: from --out)")
    add_options(parser.add_argument_group("data"), LoadSettings)


def train(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Train a force field on energies and forces.

    Ctrl-C ends it and keeps the best network so far.
    """
    out = output_file(args.out, inputs=[args.data])
    from fisherdash import tasks

    output_file(str(tasks.state_beside(out)), inputs=[args.data])
    data = read_data(args.data, args, console)
    task = tasks.train(
        from_arguments(ModelConfig, args),
        data,
        from_arguments(TrainSettings, args),
        out,
        split=from_arguments(SplitSettings, args),
        name=args.name or out.stem,
        resume=args.resume,
    )
    _, report = console.follow(task)
    report = kept(report)
    console.note(ending(report))
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


def ending(report: "EpochReport") -> str:
    """How the training ended and which network was kept, as a sentence."""
    said = f"{report.status} after epoch {report.epoch} of {report.epochs}; "
    said += f"kept the network of epoch {report.best_epoch}, the best on the validation frames"
    if report.status == "cancelled":
        return f"{said}; the same command with --resume continues it"
    if report.status == "diverged":
        return f"{said}; a lower --learning-rate may help"
    return f"{said}. {report.nothing_learned}".removesuffix(". ")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """A checkpoint and the data that it is compared with."""
    add_checkpoint(parser)
    add_data(parser)
    add_options(parser.add_argument_group("data"), LoadSettings)


def evaluate(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Errors of a checkpoint on a data set, in forces and in energies."""
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console)
    from fisherdash import tasks

    found, _ = console.follow(tasks.evaluate({args.checkpoint: model}, data))
    one = found[args.checkpoint]
    if one.caution:
        console.note(f"warning: {one.caution}")
    errors = one.errors()
    from fisherdash.potentials.evaluate import no_energies, spread_of

    if warning := no_energies(errors.energy_rmse, spread_of(data.energies)):
        console.note(f"warning: {warning}")
    return {
        "force_rmse_eV_per_A": errors.force_rmse,
        "force_mae_eV_per_A": errors.force_mae,
        "energy_rmse_eV": errors.energy_rmse,
        "energy_mae_eV": errors.energy_mae,
        "frames": errors.frames,
    }


def add_solve(parser: argparse.ArgumentParser) -> None:
    """What to re-fit, on which data, and how strongly to hold on to the default head."""
    add_checkpoint(parser)
    add_data(parser)
    parser.add_argument("--out", required=True, metavar="CKPT2", help="file to write")
    parser.add_argument(
        "--report-out",
        metavar="CKPT3",
        help="beside a wider head or another metric: where the published report's own head goes",
    )
    add_options(parser, Options)
    parser.add_argument(
        "--calculator",
        metavar="MODULE:OBJECT",
        help="an ASE calculator, or a callable that returns one, that labels in place of GFN2-xTB; "
        "the module is imported",
    )
    parser.add_argument(
        "--labels-file",
        metavar="FILE",
        help="frames that were labelled elsewhere, some frames of the data among them",
    )
    parser.add_argument(
        "--labels-out",
        metavar="FILE.npz",
        help="where labelled frames are kept (default: NAME.labels.npz beside --out, if any frame "
        "was labelled here)",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="with --json: also the path, the spectrum, the head, the posterior and the runs",
    )
    add_options(parser.add_argument_group("for --ridge stable"), StabilitySettings)
    add_options(parser.add_argument_group("data"), LoadSettings)


def solve(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Re-fit the last layer of a checkpoint in closed form: its score matches the data's."""
    inputs = [args.checkpoint, args.data, *([args.labels_file] if args.labels_file else [])]
    out, report_out = output_file(args.out, inputs=inputs), None
    if args.report_out:
        report_out = output_file(args.report_out, inputs=inputs, option="--report-out")
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    from fisherdash import tasks
    from fisherdash.fisher.solve import details, summary

    # The temperature is in the data already.
    stability = from_arguments(StabilitySettings, args, seed=args.seed)
    options = from_arguments(Options, args, temperature=None, stability=stability)
    labels = _labels(args, data, options, console, out)
    apart({"--out": out, "--report-out": report_out, "--labels-out": labels.get("labels_out")})
    task = tasks.solve(model, data, options, out, report_out=report_out, **labels)
    refit, _ = console.follow(task)
    for sentence in refit.labelled:
        console.note(sentence)
    for warning in refit.warnings:
        console.note(f"warning: {warning}")
    console.note(refit.verdict)
    own = refit.report_head
    if own is not None:
        console.note(f"the published report's own head, from the same frames: {own.verdict}")
    elif report_out is not None:
        console.note(f"{report_out} was not written: there is no other head than this one")
    if refit.boltzmann is not None and refit.boltzmann.consistent:
        console.note(refit.boltzmann.verdict)
    if refit.kl is None and not args.quick:
        console.note("the data have no temperature; --temperature K adds the KL divergence")
    return summary(refit) | ({"details": details(refit)} if args.details else {})


def add_curve(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, frames to re-fit it to, and frames to test on."""
    add_checkpoint(parser)
    add_data(parser)
    parser.add_argument(
        "--test",
        metavar="FILE",
        help="frames to test on (default: a fifth of the data, which is not fitted)",
    )
    add_options(parser, Options, without=LABELS)
    add_options(parser.add_argument_group("data"), LoadSettings)


def curve(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Re-fit to 10, 20, 40, … frames, three draws each, and show the error on other frames.

    How few labels move a model to another level of theory, and whether more of them help.
    """
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console, args.temperature)
    test = None if args.test is None else read_data(args.test, args, console, args.temperature)
    from fisherdash import tasks

    options = from_arguments(Options, args, temperature=None, test_boltzmann=False)
    found, _ = console.follow(tasks.curve(model, data, options, test))
    if found.seen:
        console.note(
            f"warning: the network was trained on {found.seen} of the {found.test_frames} test "
            "frames"
        )
    told = found.to_json()
    if args.json:
        return told
    points = told.pop("curve")
    for one in points:
        told[f"{one['frames']}_frames_eV_per_A"] = (
            f"{one['force_rmse_eV_per_A']:.4g} ({one['lowest']:.4g} to {one['highest']:.4g})"
        )
    return told


def _labels(
    args: argparse.Namespace, data: "Dataset", options: Options, console: Console, out: Path
) -> dict[str, Any]:
    """Arguments of ``tasks.solve`` about labels; InputError for options without effect."""
    if args.calculator and not options.labels:
        raise InputError(
            "--calculator has nothing to label: give --label-displaced K, --label-dynamics K, or "
            "both."
        )
    found: dict[str, Any] = {}
    if args.labels_out and not (options.labels or args.labels_file):
        raise InputError("--labels-out has nothing to keep: no labels were asked for or given.")
    if args.labels_out or options.labels:
        found["labels_out"] = output_file(
            args.labels_out or str(out.with_suffix(".labels.npz")),
            ".npz",
            inputs=[args.checkpoint, args.data],
            option="--labels-out",
        )
    if args.labels_file:
        found["labelled"] = read_data(
            # Hot frames have forces that no data set has, and the frames of the data among them
            # tell what their unit is.
            args.labels_file,
            argparse.Namespace(units="eV", force_units="eV/Å"),
            console,
        )
    if options.labels:
        from fisherdash import reference

        found["labeller"] = reference.labeller_of(data, args.calculator)
    return found


def add_label(parser: argparse.ArgumentParser) -> None:
    """The head whose dynamics are run, the data, and how many frames of which kind."""
    add_checkpoint(parser)
    add_data(parser)
    parser.add_argument("--export", required=True, metavar="FILE.xyz", help="file to write")
    add_options(parser, Options, only=LABELS)
    for kind in ("displaced", "dynamics"):
        parser.add_argument(
            f"--{kind}",
            dest=f"label_{kind}",
            type=whole(0, 10**5),
            default=argparse.SUPPRESS,
            help=f"the same as --label-{kind}",
        )
    add_options(parser.add_argument_group("data"), LoadSettings, without=("temperature",))


LABELS = (
    "label_displaced",
    "label_dynamics",
    "label_temperature",
    "label_picoseconds",
    "noise_low",
    "noise_high",
    "holdout",
    "seed",
)


def label(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Write frames beside the data that a reference is to label, for 'solve --labels-file'.

    Some frames of the data are among them: their labels tell whether both are of one potential.
    """
    out = output_file(args.export, ".xyz", inputs=[args.checkpoint, args.data])
    model = read_checkpoint(args.checkpoint)
    data = read_data(args.data, args, console)
    options = from_arguments(Options, args)
    if not options.labels:
        raise InputError(
            "nothing is to be labelled: give --label-displaced K, --label-dynamics K, or both"
        )
    from fisherdash import tasks

    if options.label_dynamics and model.provenance.get("made_by") != "solve":
        console.note(
            f"the dynamics are those of {args.checkpoint} as it is, which no re-fit has made; give "
            "the checkpoint that solve wrote to follow its head"
        )
    found, _ = console.follow(tasks.label(model, data, options, out))
    return {"file": out, "frames": found}


def add_landscape(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, the frames of the loss, the step and the plane."""
    parser.add_argument("checkpoints", metavar="CKPT", nargs="+", help="trained models, any number")
    parser.add_argument("--data", required=True, help="frames of which the loss is made")
    parser.add_argument("--out", metavar="FILE.npz", help="where the surfaces go; none otherwise")
    add_options(parser, LandscapeSettings)
    add_options(parser.add_argument_group("data"), LoadSettings)


def landscape(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Sharpness of the loss around checkpoints, and with --out its surface on a random plane.

    The loss is that of training, in (kcal/mol)²; all checkpoints are looked at in the same way.
    """
    inputs = [*args.checkpoints, args.data]
    out = output_file(args.out, ".npz", inputs=inputs) if args.out else None
    models = read_checkpoints(args.checkpoints)
    data = read_data(args.data, args, console)
    from fisherdash import tasks
    from fisherdash.landscape import evenly

    settings = from_arguments(LandscapeSettings, args, surfaces=out is not None)
    found, _ = console.follow(tasks.landscape(models, data, settings, out))
    sharp = {name: one.sharpness for name, one in found.items()}
    return {
        "frames": len(evenly(data, settings.frames)),
        "radius": settings.radius,
        "sharpness_kcal2_per_mol2": {name: one.value for name, one in sharp.items()},
        "loss_kcal2_per_mol2": {name: one.here.value for name, one in sharp.items()},
        "force_rmse_eV_per_A": {name: one.here.force_rmse for name, one in sharp.items()},
        "raised_force_rmse_eV_per_A": {name: one.raised.force_rmse for name, one in sharp.items()},
        **({"surfaces": out} if out else {}),
    }


def add_convert(parser: argparse.ArgumentParser) -> None:
    """The file, and the facts that are not in it."""
    parser.add_argument(
        "parameters", metavar="FILE", help="what flax.serialization.to_bytes(params) wrote"
    )
    parser.add_argument("--out", required=True, metavar="CKPT", help="file to write")
    add_options(parser, TutorialSettings)


def convert(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Make a checkpoint of the parameter file that the public E3x tutorial on ethanol writes."""
    out = output_file(args.out, inputs=[args.parameters])
    from fisherdash import exchange

    settings = from_arguments(TutorialSettings, args)
    model, _ = console.follow(exchange.convert(Path(args.parameters), settings, out))
    return {
        **model.potential.to_json(),
        "elements": list(model.elements),
        "parameters": model.num_parameters,
    }


def add_import(parser: argparse.ArgumentParser) -> None:
    """The file, and the facts that are not in it."""
    parser.add_argument(
        "model",
        metavar="FILE",
        help="SchNetPack's best_model (PaiNN or SchNet), or a folder of NeuroChem or a zip "
        "of it (ANI: train0, or the folder of an ensemble); with --python, a model of MACE or "
        f"so3krates-torch; or {METHOD}, or MODULE:OBJECT, an ASE calculator to stand beside models",
    )
    parser.add_argument("--out", required=True, metavar="CKPT", help="file to write")
    add_options(parser, ImportSettings)
    group = parser.add_argument_group("models that only their own library can evaluate")
    add_options(group, OutsideSettings)


def import_model(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Make a checkpoint of another program's model, with its last linear layer as the head.

    Nothing in the file is run, unless you say with --trust-this-file that its own library may open
    it. The result is checked: energies linear in the head, forces their slope.
    """
    out = output_file(args.out, inputs=[args.model])
    from fisherdash import exchange

    if not Path(args.model).exists() and (args.model == METHOD or ":" in args.model):
        model, _ = console.follow(exchange.import_calculator(args.model, out))
        facts = {"family": model.potential.family, "calculator": args.model}
        return {**facts, "fingerprint": model.fingerprint}
    check_model_file(args.model)

    settings = from_arguments(ImportSettings, args)
    outside = from_arguments(OutsideSettings, args)
    imported, _ = console.follow(exchange.import_model(Path(args.model), settings, outside, out))
    for note in imported.notes:
        console.note(note)
    return imported.summary()
