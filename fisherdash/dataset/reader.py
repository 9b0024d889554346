"""Reads and validates a data set from a path or an upload, in the project's units."""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from fisherdash import storage
from fisherdash.dataset import archives, containers
from fisherdash.dataset import raw as known
from fisherdash.dataset.core import Dataset, check_temperature, hinted
from fisherdash.dataset.inference import check_unit, check_units
from fisherdash.dataset.npz import Arrays, from_arrays
from fisherdash.dataset.raw import ReadOptions, assemble
from fisherdash.dataset.structures import (
    FORMATS,
    collect,
    from_structures,
    one_number,
    structure_frames,
)
from fisherdash.errors import InputError
from fisherdash.units import LENGTH_UNITS, force_unit, length_unit

LARGEST_TEXT = 2**30
"""Bytes of a text file that are read; such files are held in memory as a whole."""

_SUFFIXES = {
    ".npz": "npz", ".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj", ".db": "db",
    ".h5": "hdf5", ".hdf5": "hdf5",
}  # fmt: skip
ENDINGS = (*_SUFFIXES, ".zip", ".tar", *archives.PACKED_ENDINGS)
"""Of files whose format need not be named."""
_BY_NAME = {"outcar": "vasp-out", "vasprun": "vasp-xml"}
_MAGIC = {b"\x89HDF\r\n\x1a\n": "hdf5", b"SQLite format 3\0": "db", b"- of Ulm": "traj"}
_SIGNATURES = {
    b"<modeling>": "vasp-xml", b" vasp.": "vasp-out", b"* O   R   C   A *": "orca-output",
    b"Invoking FHI-aims": "aims-output",
    b"Northwest Computational Chemistry Package": "nwchem-out", b"Program PWSCF": "espresso-out",
    b"Entering Gaussian System": "gaussian-out", b"Psi4: An Open-Source": "psi4-out",
    b"Q-Chem, Inc.": "qchem-out", b"$grad ": "turbomole-gradient",
    b" |__ |  _|___|_____|": "gpaw-out", b"CASTEP version": "castep-castep",
    b"ITEM: TIMESTEP": "extxyz",  # refused there with the reason
}  # fmt: skip
"""What programs write at the beginning of their outputs, whatever the file is called."""
_HEAD = 50_000
_XYZ = re.compile(rb"\s*\d+[^\n]*\n[^\n]*\n\s*(?:\d+|[A-Z][a-z]?)\d*(?:\s+[-+\d.eEdD]+){3}")
_ALIASES = {"xyz": "extxyz"}


def load(path: str | Path, *, format: str | None = None, **said: Any) -> Dataset:
    """Read a data set from a file, or from a DeePMD folder.

    Args:
        path: an npz of a known layout, extended XYZ, or any file whose `format` is named.
        format: "npz" or one of `FORMATS`. None: by the ending of the name.
        said: what the file does not say, as :class:`fisherdash.settings.LoadSettings`: units,
            force_units, length_units, temperature (K), labels, energy_key, forces_key, gradients,
            molecule.

    Raises InputError, one sentence, for whatever cannot be used.
    """
    path = Path(path)
    options = _options(said)
    name = clean_name(path.name)
    try:
        if path.is_dir():
            if not (path / "type.raw").is_file():
                raise InputError(
                    f"{path} is a folder; a data file is needed, or a DeePMD folder with type.raw."
                )
            folder = _Opened("deepmd", name, files=containers.deepmd_folder(path))
            return _interpreted(folder, options)
        if what := storage.no_file(path):
            raise InputError(f"{path} is {what}; a data file is needed.")
        with path.open("rb") as stream:
            opened = _opened(stream, path.stat().st_size, name, format, options.molecule)
            return _interpreted(opened, options, _forces_beside(path))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Cannot read {path}: {error}.") from None


def load_bytes(name: str, data: bytes, *, format: str | None = None, **said: Any) -> Dataset:
    """`load` for an upload: its bytes, and its name, which is shown and never used as a path."""
    options = _options(said)
    opened = _opened(io.BytesIO(data), len(data), clean_name(name), format, options.molecule)
    return _interpreted(opened, options)


@dataclass(frozen=True)
class Keys:
    """What a file has that may be chosen: keys of energies and of forces, names of molecules."""

    energies: tuple[str, ...] = ()
    forces: tuple[str, ...] = ()
    molecules: tuple[str, ...] = ()


def keys_of(
    name: str, data: bytes, *, format: str | None = None, molecule: str | None = None
) -> Keys:
    """The keys in an upload; InputError for a file that cannot be opened."""
    name = clean_name(name)
    opened = _opened(io.BytesIO(data), len(data), name, format, molecule, first=True)
    if opened.form in ("npz", "hdf5"):
        if opened.form == "npz":
            arrays, molecules = Arrays(opened.stream(), name), list(opened.molecules)
            shapes = {key: arrays[key].shape for key in arrays if arrays[key].dtype.kind in "iuf"}
        else:
            molecules, shapes = containers.hdf5_shapes(opened.data, name, molecule)
        places = known.lookup(shapes, known.POSITIONS)
        shape = shapes.get(places or "", ())
        frames = shape[0] if len(shape) == 3 else 1  # two dimensions: a single conformation
        energies = [key for key, one in shapes.items() if one in ((frames,), (frames, 1), ())]
        forces = [key for key, one in shapes.items() if one == shape and key != places]
        return Keys(tuple(energies), tuple(forces), tuple(molecules))
    if opened.form == "db":
        frames = containers.database_frames(opened.data, name)[0]
    elif opened.form == "deepmd":
        frames = containers.deepmd_frames(opened.files or {}, name)
    else:
        frames = structure_frames(opened.data, name, opened.form, opened.forces)
    energies, forces = {}, {}
    for frame in frames[:100]:
        energies |= {key: 0 for key, value in frame.comment.items() if one_number(value)}
        forces |= {key: 0 for key, value in frame.columns.items()
                   if key != "pos" and value.shape == frame.columns["pos"].shape}  # fmt: skip
    return Keys(tuple(energies), tuple(forces), opened.molecules)


def _options(said: dict[str, Any]) -> ReadOptions:
    said = {key: value for key, value in said.items() if value not in (None, "")}
    lengths = check_unit(
        said.get("length_units"), length_unit, LENGTH_UNITS, "unit of length", "--length-units"
    )
    forces = check_unit(
        said.get("force_units"), force_unit, ("eV/Å", "hartree/bohr", "kcal/mol/Å", "…"),
        "unit of force", "--force-units",
    )  # fmt: skip
    checked = {
        "units": check_units(said.get("units")),
        "force_units": forces,
        "length_units": lengths,
        "temperature": check_temperature(said.get("temperature")),
    }
    return ReadOptions(**{**said, **checked})


def _forces_beside(path: Path) -> bytes | None:
    """CP2K's file of forces beside its file of positions."""
    other = path.with_name(path.name.replace("-pos-", "-frc-"))
    if other == path or not other.is_file() or other.stat().st_size > LARGEST_TEXT:
        return None
    return other.read_bytes()


def clean_name(name: str) -> str:
    """The last part of an untrusted file name, printable and at most 80 characters long."""
    last = str(name).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:80] or "unnamed file"


@dataclass(frozen=True)
class _Opened:
    """A file whose format is known, unpacked."""

    form: str
    name: str
    data: bytes = b""
    forces: bytes | None = None
    files: Mapping[str, bytes] | None = None
    whole: BinaryIO | None = None
    molecules: tuple[str, ...] = ()
    chosen: bool = False

    def stream(self) -> BinaryIO:
        """Stream of an npz, which is read in place."""
        return self.whole or io.BytesIO(self.data)


def _opened(
    stream: BinaryIO,
    size: int,
    name: str,
    format: str | None,
    molecule: str | None,
    first: bool = False,
) -> _Opened:
    """The file, or that of an archive which ``molecule`` names; ``first`` takes any of several."""
    if size == 0:
        raise InputError(f"{name} is empty.")
    format = _ALIASES.get(format or "", format)
    if format is not None and format != "npz" and format not in FORMATS:
        raise InputError(f"Unknown format {format!r}; use npz, {', '.join(FORMATS)}.")
    if (format or _SUFFIXES.get(Path(name).suffix.lower())) == "npz":
        return _Opened("npz", name, whole=stream)
    if size > LARGEST_TEXT:
        raise InputError(
            f"{name} has {size / 2**30:.1f} GiB; at most {LARGEST_TEXT / 2**30:.0f} GiB of other "
            "formats are read: convert it to npz."
        )
    data, inner = archives.unpacked(stream.read(), name)
    npz = _SUFFIXES.get(Path(inner).suffix.lower()) == "npz"
    files = None if npz else archives.members(data, name)
    if files is None:
        form = "npz" if npz else format or _format_of(inner, data)
        return _Opened(form, name, data)
    if format == "deepmd" or any(Path(one).name == "type.raw" for one in files):
        return _Opened("deepmd", name, files=archives.deepmd_files(files, name))
    if files and all(one.endswith(".npy") for one in files):
        return _Opened("npz", name, data)
    several = archives.fitting(files, _readable(format))
    chosen = len(several) > 1 and molecule is not None
    wished = molecule if len(several) > 1 else None
    if first and several and wished not in several:
        wished = several[0]
    one = archives.chosen(files, name, wished, _readable(format))
    data, inner = archives.unpacked(one.data, one.name)
    form = format or _format_of(inner, data)
    molecules = tuple(several) if len(several) > 1 and one.forces is None else ()
    return _Opened(form, name, data, one.forces, molecules=molecules, chosen=chosen)


def _interpreted(opened: _Opened, options: ReadOptions, forces: bytes | None = None) -> Dataset:
    """The Dataset of an opened file."""
    name, data = opened.name, opened.data
    if opened.chosen:
        options = replace(options, molecule=None)
    if opened.form == "npz":
        found = from_arrays(Arrays(opened.stream(), name), name, options)
    elif opened.form == "db":
        found = containers.from_database(data, name, options)
    elif opened.form == "hdf5":
        found = containers.from_hdf5(data, name, options)
    elif opened.form == "deepmd":
        if opened.files is None:
            raise InputError(f"{name} is no archive of a DeePMD folder (type.raw and set.*).")
        frames = containers.deepmd_frames(opened.files, name)
        found = assemble(collect(frames, name, "deepmd", options), name, options)
    else:
        found = from_structures(data, name, opened.form, options, opened.forces or forces)
    return hinted(found, name)


def _readable(format: str | None) -> Callable[[str, bytes], bool]:
    """Whether a file of an archive is one of data; any may be where the format was named."""

    def check(name: str, data: bytes) -> bool:
        """Whether a file is read, by its name and content."""
        try:
            inner = Path(name).stem if name.lower().endswith(archives.PACKED_ENDINGS) else name
            return bool(_format_of(inner, data))
        except InputError:
            return format is not None and not name.lower().startswith(("readme", "license"))

    return check


def _format_of(name: str, data: bytes) -> str:
    """The format by the ending of the name, by what programs call their files or write first."""
    suffix = Path(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    for stem, form in _BY_NAME.items():
        if name.lower().startswith(stem):
            return form
    head = data[:_HEAD]
    for sign, form in _MAGIC.items():
        if head.startswith(sign):
            return form
    for sign, form in _SIGNATURES.items():
        if sign in head:
            return form
    if _XYZ.match(head):
        return "extxyz"
    raise InputError(
        f"{name} has the unknown suffix {suffix!r}; use {', '.join(_SUFFIXES)} (also with .gz, "
        f".bz2, .xz, in .zip or .tar) or name the format with --format (npz, {', '.join(FORMATS)})."
    )
