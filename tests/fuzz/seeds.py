"""Small sound files of every kind that the program reads: what damage begins with."""

import bz2
import functools
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import flax.serialization
import h5py
import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from fisherdash import dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.head import HeadForm
from fisherdash.settings import ModelConfig
from fisherdash.units import BOHR, HARTREE
from tests.dataset.outputs import OUTPUTS
from tests.potentials import torchfile
from tests.potentials.schnetpack.files import painn
from tests.randomised import random_checkpoint

_KCAL = 23.0605


@functools.cache
def frames() -> dict[str, np.ndarray]:
    """Four rattled frames of water: positions, energies, forces, atomic_numbers."""
    random = np.random.default_rng(7)
    water = molecule("H2O")
    return {
        "positions": water.positions + random.normal(scale=0.05, size=(4, 3, 3)),
        "energies": -2080.0 + random.normal(size=4),
        "forces": random.normal(size=(4, 3, 3)),
        "atomic_numbers": water.numbers.copy(),
    }


def npz(arrays: dict[str, Any], compressed: bool = False) -> bytes:
    """The bytes of an npz; object arrays are pickled into it, as a stranger would."""
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def npz_layouts() -> list[dict[str, Any]]:
    """The arrays of every npz layout that is read."""
    own = frames()
    x, e, f, z = (own[name] for name in ("positions", "energies", "forces", "atomic_numbers"))
    return [
        {**own, "temperature": 300.0, "source": "water", "notes": np.array(["a"]), "version": 1},
        {"R": x, "E": e[:, None] * _KCAL, "F": f * _KCAL, "z": z, "name": b"water", "e_unit": "eV"},
        {"coords": x, "energies": e * _KCAL, "forces": f * _KCAL, "nuclear_charges": z,
         "old_energies": e, "old_forces": f},
        {"positions": x, "energy": e, "forces": f, "atomic_numbers": np.tile(z, (4, 1))},
    ]  # fmt: skip


def npz_files() -> list[bytes]:
    """One file of every layout, and the project's own as it is written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.npz"
        dataset.save(dataset.Dataset(**frames(), temperature=300.0), path)
        return [path.read_bytes(), *map(npz, npz_layouts())]


def structure_files() -> list[bytes]:
    """Extended XYZ, with and without what is optional, and an ASE trajectory."""
    own = frames()
    atoms = []
    for index in range(4):
        one = molecule("H2O")
        one.positions = own["positions"][index]
        one.calc = SinglePointCalculator(
            one, energy=own["energies"][index], forces=own["forces"][index]
        )
        atoms.append(one)
    text, binary = io.StringIO(), io.BytesIO()
    ase.io.write(text, atoms, format="extxyz")
    ase.io.write(binary, atoms, format="traj")
    boxed = text.getvalue().replace('pbc="F F F"', 'Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"')
    plain = "3\nwater\nO 0 0 0\nH 0 0.8 0.6\nH 0 -0.8 0.6\n"
    vasp = (
        '<?xml version="1.0"?><modeling><atominfo><array name="atoms"><set><rc><c>H</c><c>1</c>'
        "</rc></set></array></atominfo><calculation><structure><crystal><varray name='basis'/>"
        "</crystal></structure></calculation></modeling>"
    )
    return [text.getvalue().encode(), boxed.encode(), plain.encode(), binary.getvalue(),
            vasp.encode()]  # fmt: skip


def xyz_files() -> list[bytes]:
    """XYZ as people write it: words, bare energies, declared units, exponents, cells, CP2K."""
    own, scale = frames(), HARTREE / BOHR

    def text(comment: str, row: str, size: float = 1.0) -> bytes:
        lines = []
        for step in range(4):
            energy = own["energies"][step] / (HARTREE if size != 1 else 1)
            lines += ["3", comment.format(e=energy, n=step)]
            for symbol, x, f in zip(
                "OHH", own["positions"][step], own["forces"][step], strict=True
            ):
                lines.append(row.format(symbol, *x, *(f / size)))
        return "\n".join(lines).encode() + b"\n"

    properties = "Properties=species:S:1:pos:R:3:{}:R:3 "
    plain = "{0} {1:.8f} {2:.8f} {3:.8f} {4:.8f} {5:.8f} {6:.8f}"
    fortran = text("energy={e:.9f}", plain.replace(".8f", ".8E")).replace(b"E-", b"D-")
    return [
        text("{e:.9f}", plain),
        text("energy: {e:.9f} gnorm: 0.1 xtb: 6.5", plain, scale),
        text("step {n} E = {e:.9f} Ha", plain, scale),
        text(properties.format("forces_dft") + "energy_dft={e:.9f}", plain),
        text(properties.format("forces") + "energy={e:.9f} energy_unit=Ha force_unit=Ha/Bohr",
             plain, scale),
        text(properties.format("forces") + 'Lattice="9 0 0 0 9 0 0 0 9" energy={e:.9f}', plain),
        text(properties.format("forces") + "energy={e:.9f}", plain.replace("{0}", "8")),
        fortran.replace(b"\n3\n", b"\n>\n3\n"),
        text("energy={e:.9f}", plain.replace(" ", ", ")),
        text(" i = {n:8d}, time = 0.5, E = {e:.9f}", plain[:27], scale),
        b"\xef\xbb\xbf" + text("energy={e:.9f} author=Ren\u00e9", plain.replace("{0}", "1 {0}")),
    ]  # fmt: skip


def output_files() -> list[bytes]:
    """An output of every program."""
    own = {**frames(), "positions": frames()["positions"] + 5.0}
    return [write(own).encode() for write in OUTPUTS.values()]


def archive(files: dict[str, bytes], kind: str = "zip") -> bytes:
    """A zip or tar of these files."""
    stream = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return stream.getvalue()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return stream.getvalue()


def deepmd() -> dict[str, bytes]:
    """A DeePMD folder."""
    own, found = frames(), {"w/type.raw": b"0\n1\n1\n", "w/type_map.raw": b"O\nH\n"}
    for key, value in (("coord", "positions"), ("energy", "energies"), ("force", "forces")):
        stream = io.BytesIO()
        np.save(stream, own[value].reshape(4, -1))
        found[f"w/set.000/{key}.npy"] = stream.getvalue()
    return found


def hdf5(groups: dict[str, dict[str, Any]]) -> bytes:
    """An HDF5 file of groups of arrays."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for path, arrays in groups.items():
            group = file.require_group(path)
            for key, value in arrays.items():
                group[key] = value
    return stream.getvalue()


def hdf5_groups() -> list[dict[str, dict[str, Any]]]:
    """ANI, and a group for each conformation."""
    own = frames()
    ani = {"coordinates": own["positions"], "energies": own["energies"] / HARTREE,
           "forces": own["forces"] / HARTREE, "species": np.array([b"O", b"H", b"H"])}  # fmt: skip
    each = {
        f"w/{n}": {"atXYZ": own["positions"][n], "ePBE0+MBD": own["energies"][n : n + 1],
                   "totFOR": own["forces"][n], "atNUM": own["atomic_numbers"]} for n in range(4)
    }  # fmt: skip
    return [{"gdb/water": ani}, each]


@functools.cache
def database(units: bool) -> bytes:
    """An ASE data base; with units, as SchNetPack writes it."""
    own = frames()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        with ase.db.connect(path) as base:
            for x, e, f in zip(own["positions"], own["energies"], own["forces"], strict=True):
                base.write(ase.Atoms("OHH", x), data={"energy": np.array([e]), "forces": f})
        if units:
            base.metadata = {
                "_property_unit_dict": {"energy": "eV", "forces": "eV/Ang"},
                "_distance_unit": "Ang",
            }
        return path.read_bytes()


def container_files() -> list[bytes]:
    """Everything packed and every data base."""
    text = structure_files()[0]
    packed = [pack(text) for pack in (gzip.compress, bz2.compress, lzma.compress)]
    pair = {"w-pos-1.xyz": xyz_files()[9], "w-frc-1.xyz": xyz_files()[9]}
    return [
        *packed, archive({"a/x.xyz": text, "README": b"water"}), archive({"x.xyz": text}, "tar"),
        gzip.compress(npz(npz_layouts()[1])), archive(deepmd()), archive(pair), database(False),
        database(True), *map(hdf5, hdf5_groups()),
    ]  # fmt: skip


def _models() -> list[checkpoint.Checkpoint]:
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)
    shared = random_checkpoint(config, dtype=np.float32)
    wide = shared.in_form(HeadForm("quadratic", (1, 6, 8), 3), np.eye(4)[:, :3])
    return [shared, shared.by_element([1, 6, 8]), wide]


def checkpoint_files() -> list[bytes]:
    """A checkpoint with one head and one with a head for each element."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for model in _models():
            checkpoint.save(model, Path(folder) / "m.safetensors")
            found.append((Path(folder) / "m.safetensors").read_bytes())
    return found


def foreign_files() -> list[bytes]:
    """Models that SchNetPack saved whole."""
    references = np.linspace(-5.0, 0.0, 10)
    return [
        torchfile.saved(described)
        for described in (
            painn(width=3, rounds=1, hidden=(2,), dtype="f4", offsets={"mean": -2.0}),
            painn(width=2, hidden=(), basis="bessel", offsets={"atomref": references}),
        )
    ]


def tutorial_tree() -> dict[str, Any]:
    """The tree of parameters that the E3x tutorial saves."""
    model = _models()[0]
    return {
        "params": {
            **model.body,
            "Dense_2": {"kernel": model.head[:, None].astype(np.float32)},
            "element_bias": model.element_bias.astype(np.float32),
        }
    }


def tutorial_files() -> list[bytes]:
    """The same as bytes."""
    return [flax.serialization.to_bytes(tutorial_tree())]


def run_headers() -> list[bytes]:
    """The ``run.json`` of a run, as somebody may have edited it."""
    from fisherdash.workspace import RunHeader

    settings = {"replicas": 2, "steps": 10, "timestep": 0.5, "temperature": 300.0,
                "record_every": 1, "seed": 0}  # fmt: skip
    header = RunHeader(
        title="water",
        names=("a", "b"),
        roles=("default", "fisher"),
        atomic_numbers=(8, 1, 1),
        settings=settings,
    )
    with tempfile.TemporaryDirectory() as folder:
        header.write(Path(folder), "finished")
        return [(Path(folder) / header.FILE).read_bytes()]


STUDY = """
title = "Ethanol"
sharpness = 0.05
together = 1
[[data]]
name = "e"
file = "e.npz"
valid = 50
test = 200
[[models]]
frames = [100, 200]
epochs = 50
seed = [0, 1]
features = 16
max_degree = 1
iterations = 2
basis = 16
recipe = ["slow", "plain"]
[recipe.slow]
learning_rate = 0.001
epochs_factor = 2.0
[heads.fisher]
ridge = "auto"
[dynamics]
replicas = 8
picoseconds = 1.0
temperature = [300.0, 500.0]
"""


def studies() -> list[bytes]:
    """Specifications of studies: a small one, and the shipped one."""
    shipped = Path(__file__).resolve().parents[2] / "studies" / "ethanol" / "study.toml"
    return [STUDY.encode(), shipped.read_bytes().replace(b"../../sample_models/", b"")]


NAMES = [name.encode() for name in (
    "../../etc/passwd", "C:\\Windows\\x.npz", "a\0b.npz", "<img src=x onerror=alert(1)>.xyz",
    "water 300 K.npz", ".hidden", "con.npz", "\u202egpj.npz", "....", "x" * 400, "\ud7ff/\u00e9",
)]  # fmt: skip
"""Names of files, as people and attackers give them."""
