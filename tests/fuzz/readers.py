"""Every door through which a file or a name of a stranger comes in.

A reader gives an error for whatever it does not like, and nothing else: :class:`Reader.read` lets
an :class:`InputError` pass as an answer and raises for everything that is none.
"""

import dataclasses
import functools
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, foreign
from fisherdash.potentials.e3x import tutorial
from fisherdash.settings import ImportSettings
from fisherdash.study import read_spec
from fisherdash.workspace import open_run, paths
from tests.fuzz import damage, seeds, visits

STRUCTURES = ("extxyz", "traj", *dataset.FORMATS)
"""Formats of ASE; extended XYZ and trajectories, which people upload, come more often."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """One door: sound files, ways to spoil them, and what reads them."""

    name: str
    sound: Callable[[], list[bytes]]
    special: Sequence[damage.Damage]
    call: Callable[[bytes, random.Random], object]
    share: float = 1.0
    """Of the inputs of a long run."""

    @functools.cached_property
    def files(self) -> list[bytes]:
        """The sound files."""
        return self.sound()

    def example(self, seed: int, index: int) -> tuple[bytes, random.Random]:
        """The damaged input of that number, and the chance with which it is read."""
        chance = random.Random(f"{self.name} {seed} {index}")
        return damage.damaged(chance, self.files, self.special), chance

    def read(self, data: bytes, chance: random.Random) -> bool:
        """Whether the input was taken; False when it was refused with a sentence."""
        try:
            self.call(data, chance)
        except InputError as refusal:
            sentence = str(refusal)
            if not sentence or len(sentence) > 2000:
                raise AssertionError(f"a refusal of {len(sentence)} characters") from refusal
            return False
        return True


def _npz(data: bytes, chance: random.Random) -> object:
    units, labels = (None, None) if chance.random() < 0.7 else chance.choice((("eV", None),
                     ("kcal/mol", "old"), (None, "old")))  # fmt: skip
    if chance.random() < 0.1:
        return dataset.keys_of("x.npz", data)
    return dataset.load_bytes("x.npz", data, units=units, labels=labels)


def _structures(data: bytes, chance: random.Random) -> object:
    return dataset.load_bytes("x", data, format=chance.choice(STRUCTURES))


def _traj(data: bytes, chance: random.Random) -> object:
    return dataset.load_bytes("x.traj", data, units="eV")


def _said(chance: random.Random) -> dict[str, object]:
    """What a user may say of a file besides."""
    ways: list[dict[str, object]] = [
        {}, {}, {"force_units": "hartree/bohr"}, {"gradients": True}, {"length_units": "bohr"},
        {"units": "kcal/mol"}, {"labels": "dft"}, {"molecule": "w"},
        {"forces_key": "5-7", "force_units": "hartree/bohr"},
        {"energy_key": "energy_dft", "forces_key": "forces_dft"},
    ]  # fmt: skip
    return chance.choice(ways)


def _xyz(data: bytes, chance: random.Random) -> object:
    return dataset.load_bytes("x.xyz", data, **_said(chance))


def _content(data: bytes, chance: random.Random) -> object:
    """By what is in it, mostly; by a format that somebody names, sometimes."""
    form = None if chance.random() < 0.8 else chance.choice(STRUCTURES)
    if chance.random() < 0.2:
        return dataset.keys_of("x", data, format=form, molecule=chance.choice((None, "w", "")))
    return dataset.load_bytes("x", data, format=form, **_said(chance))


def _checkpoint(data: bytes, chance: random.Random) -> object:
    found = checkpoint.load_bytes(data, "x.safetensors")
    return found.fingerprint, found.num_parameters


def _foreign(data: bytes, chance: random.Random) -> object:
    asked = ImportSettings(energy_unit="eV", elements=chance.choice((None, "H,C", "H, Xx")))
    return foreign.taken_over(data, asked, source="x", name="x")[0].fingerprint


def _tutorial(data: bytes, chance: random.Random) -> object:
    return tutorial.load_bytes(data, cutoff=5.0, energy_unit="eV").fingerprint


def _run(data: bytes, chance: random.Random) -> object:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_bytes(data)
        run = open_run(Path(folder))
        return run.status, run.steps, run.trajectories()


def _study(data: bytes, chance: random.Random) -> object:
    home = Path("/nowhere/home")
    spec = read_spec(data.decode("utf-8", "replace"), home, inside=home)
    assert all(home in one.file.resolve().parents for one in spec.data.values())
    return len(spec.models)


def _names(data: bytes, chance: random.Random) -> object:
    name = data.decode("utf-8", "surrogateescape")
    stem = paths.safe_stem(name)
    shown = dataset.clean_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._+-]{1,80}", stem) and not stem.startswith(".")
    if chance.random() < 0.05:  # every path is given out once, so many of one name take long
        path = paths.new_path("datasets", name, ".npz")
        assert path.resolve().parent == paths.folder("datasets").resolve()
    assert shown.isprintable() and "/" not in shown and "\\" not in shown
    return stem


READERS = {
    reader.name: reader
    for reader in (
        Reader("npz", seeds.npz_files, (damage.npz_made, damage.npz_made, damage.zip_made),
               _npz, 3),
        Reader("structures", seeds.structure_files, (damage.xyz_made, damage.xyz_made,
               damage.xml_made), _structures, 3),
        Reader("traj", lambda: seeds.structure_files()[3:4], (damage.traj_made,), _traj, 1),
        Reader("cookie", visits.cookies, (), visits.read_cookie, 1),
        Reader("host", visits.hosts, (visits.host_made,), visits.read_host, 1),
        Reader("query", visits.queries, (visits.query_made,), visits.read_query, 0.02),
        Reader("frame", visits.frames, (), visits.read_frame, 0.2),
        Reader("xyz", seeds.xyz_files, (damage.xyz_made,), _xyz, 3),
        Reader("outputs", seeds.output_files, (damage.line_made,), _content, 3),
        Reader("containers", seeds.container_files, (damage.packed_made, damage.hdf5_made,
               damage.database_made), _content, 3),
        Reader("checkpoint", seeds.checkpoint_files, (damage.safetensors_made,), _checkpoint, 2),
        Reader("foreign", seeds.foreign_files, (damage.pickle_made, damage.pickle_made,
               damage.zip_made), _foreign, 2),
        Reader("tutorial", seeds.tutorial_files, (damage.msgpack_made,), _tutorial, 2),
        Reader("study", seeds.studies, (damage.toml_made, damage.toml_made), _study, 2),
        Reader("run", seeds.run_headers, (damage.json_made,), _run, 1),
        Reader("names", lambda: seeds.NAMES, (damage.text_made,), _names, 1),
    )
}  # fmt: skip
