"""Arguments that several commands share, checked before the work begins."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fisherdash import storage
from fisherdash.cli.console import Console
from fisherdash.errors import InputError
from fisherdash.settings import LoadSettings, from_arguments
from fisherdash.text import harmless

if TYPE_CHECKING:
    from fisherdash.dataset import Dataset
    from fisherdash.potentials.checkpoint import Checkpoint


def whole(low: int, high: int) -> Callable[[str], int]:
    """Type of an option: a whole number from ``low`` to ``high``."""

    def convert(text: str) -> int:
        """The number of a text; ArgumentTypeError for any other."""
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {text!r:.60}"
            )
        return value

    return convert


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """A model."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a trained model, as train writes it")


def add_data(parser: argparse.ArgumentParser) -> None:
    """A data file."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="frames, energies and forces: npz, extended XYZ, HDF5, db, DeePMD, or see --format",
    )


def add_run_folder(parser: argparse.ArgumentParser) -> None:
    """The folder of a run."""
    parser.add_argument("run_folder", metavar="RUN", help="the folder that simulate wrote")


def run_folder(args: argparse.Namespace) -> Path:
    """InputError if it is not there."""
    folder = Path(args.run_folder)
    if not folder.is_dir():
        raise InputError(f"no run {args.run_folder!r}: there is no such folder.")
    return folder


def read_data(
    path: str, args: argparse.Namespace, console: Console, temperature: float | None = None
) -> "Dataset":
    """The data set at ``path``; says what the loader inferred. InputError if it cannot be used.

    ``temperature`` in K replaces what the file says.
    """
    _check_readable(path, "data file", folder=Path(path, "type.raw").is_file())
    if Path(path).suffix == ".safetensors":
        raise InputError(
            f"{path!r} is a model and not a file of frames: train makes a network of its own from "
            "frames, and solve re-fits the head of a model that is there."
        )
    from fisherdash import dataset

    settings = from_arguments(LoadSettings, args, temperature=temperature)
    data = dataset.load(path, **settings.to_json())
    told = [*data.notes, *(f"left out: {one}" for one in data.left_out)]
    for note in [*told, *(f"warning: {one}" for one in data.warnings)]:
        console.note(f"{Path(path).name}: {note}")
    return data


def read_checkpoint(path: str) -> "Checkpoint":
    """The checkpoint at ``path``; InputError if it cannot be used."""
    _check_readable(path, "checkpoint")
    from fisherdash.potentials import checkpoint

    return checkpoint.load(path)


def check_model_file(path: str) -> None:
    """InputError unless another program's model can be read there, a file or a folder."""
    _check_readable(path, "model file", folder=True)


def read_checkpoints(paths: Iterable[str]) -> dict[str, "Checkpoint"]:
    """The checkpoints under the names of their files; InputError when two names are the same."""
    found: dict[str, Checkpoint] = {}
    for path in paths:
        name = harmless(Path(path).stem)
        if name in found:
            raise InputError(f"two checkpoints are called {name!r}; rename one of the files.")
        found[name] = read_checkpoint(path)
    return found


def _check_readable(path: str, what: str, folder: bool = False) -> None:
    """InputError unless there is a readable file, or a folder where that may be."""
    if not Path(path).exists():
        raise InputError(f"no {what} {path!r}: there is no such file.")
    found = storage.no_file(Path(path))
    if found and not (folder and found == "a folder"):
        raise InputError(f"{path!r} is {found}; a {what} was expected.")
    if not os.access(path, os.R_OK):
        raise InputError(f"the {what} {path!r} may not be read; its permissions forbid it.")


def output_file(
    path: str, suffix: str = "", *, inputs: Iterable[str] = (), option: str = "--out"
) -> Path:
    """Where a result is to go, checked before the work begins rather than after it."""
    out = Path(path)
    if found := storage.no_file(out):
        inside = " in it" if found == "a folder" else ""
        raise InputError(f"{option} {path!r} is {found}; give the name of a file{inside}.")
    if suffix and out.suffix != suffix:
        raise InputError(f"{option} {path!r} must end in {suffix}.")
    if out.exists() and any(Path(one).exists() and out.samefile(one) for one in inputs):
        raise InputError(f"{option} {path!r} is also an input; give another name.")
    _folder_for(out, option)
    return out


def apart(outputs: Mapping[str, Path | None]) -> None:
    """InputError where two outputs, by their options, are one file: the last would replace it."""
    first: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        other = first.setdefault(path.resolve(), option)
        if other != option:
            raise InputError(f"{other} and {option} are both {str(path)!r}; give two names.")


def output_folder(path: str) -> Path:
    """A folder to be made; InputError if something is there already or it cannot be made."""
    out = Path(path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {path!r} exists already; give the name of a new folder.")
    _folder_for(out)
    return out


def _folder_for(out: Path, option: str = "--out") -> None:
    folder = out.absolute().parent
    if not folder.is_dir():
        raise InputError(
            f"{option} {str(out)!r}: there is no folder {str(folder)!r}; make it first."
        )
    if not os.access(folder, os.W_OK):
        raise InputError(f"{option} {str(out)!r}: nothing may be written in {str(folder)!r}.")
