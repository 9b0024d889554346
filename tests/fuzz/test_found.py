"""What fuzzing found, each as the smallest file that shows it; all of it is refused now."""

import io
import json
import tracemalloc
import zipfile

import flax.serialization
import msgpack
import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.dataset import core
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.potentials.e3x import tutorial
from fisherdash.workspace import RunHeader, headers, listing
from tests.fuzz import seeds


def npz_refusal(data: bytes) -> str:
    with pytest.raises(InputError) as refusal:
        dataset.load_bytes("x.npz", data)
    return str(refusal.value)


def tutorial_refusal(tree: object) -> str:
    with pytest.raises(InputError) as refusal:
        tutorial.load_bytes(msgpack.packb(tree), cutoff=5.0, energy_unit="eV")
    assert "E3x tutorial" in str(refusal.value)
    return str(refusal.value)


def with_header(text: str) -> bytes:
    """A zip whose only array has this header."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        file.writestr("R.npy", head)
    return stream.getvalue()


def test_a_header_that_ends_within_a_bracket():
    said = npz_refusal(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (3"))
    assert said == "x.npz is damaged: its array 'R' cannot be read."


def test_lzma_that_is_cut():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("R.npy", bytes(1000))
    data = bytearray(stream.getvalue())
    data[45:60] = bytes(15)
    assert "is damaged: its array 'R' cannot be read" in npz_refusal(bytes(data))


def peak(call) -> float:
    """MiB that the call held at its worst."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_small_types_do_not_grow_into_double_precision():
    one = np.zeros((50_000, 100, 3), np.int8)
    data = seeds.npz({"R": one, "E": one[:, 0, 0], "F": one, "z": np.ones(100)}, compressed=True)
    assert len(data) < 100_000
    said: list[str] = []
    assert peak(lambda: said.append(npz_refusal(data))) < 20
    assert "would unpack to 229 MiB, of which a file of its size may take 64 MiB" in said[0]


@pytest.mark.parametrize("atoms", [core.MOST_ATOMS + 1, 500_000])
def test_pairs_of_too_many_atoms_are_not_counted(atoms):
    one = np.zeros((1, atoms, 3), np.int8)
    data = seeds.npz({"R": one, "E": [0.0], "F": one, "z": np.ones(atoms, np.int8)})
    said: list[str] = []
    assert peak(lambda: said.append(npz_refusal(data))) < 100
    assert f"A molecule of {atoms} atoms was received; at most 1000 are read" in said[0]


def test_an_archive_of_very_many_arrays():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for number in range(1001):
            file.writestr(f"{number}.npy", b"")
    assert "holds 1001 arrays" in npz_refusal(stream.getvalue())


def test_an_npz_with_a_long_name():
    said = npz_refusal(seeds.npz({"x" * 5000: [1.0], "b": [2.0]}))
    assert len(said) < 300 and said.endswith("received " + "x" * 40 + "…, b.")


CELLS = {
    "not a number": "nan 0 0 0 9 0 0 0 9",
    "flat": "9 0 0 0 9 0 9 9 0",
    "tiny": "1e-300 0 0 0 1e-300 0 0 0 1e-300",
    "crushing": "1e-3 0 0 0 1e-3 0 0 0 1e-3",
    "huge": "1e300 0 0 0 1e300 0 0 0 1e300",
    "skewed": "1e6 0 0 1e6 1e-6 0 0 0 9",
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_cells_that_are_none(cell):
    sound = seeds.structure_files()[1].replace(b"9 0 0 0 9 0 0 0 9", cell.encode())
    with pytest.raises(InputError, match=r"x\.xyz (is periodic and|has a cell)"):
        dataset.load_bytes("x.xyz", sound)


def test_a_periodic_frame_without_atoms():
    head = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T T"'
    with pytest.raises(InputError, match="at least two atoms, received 0"):
        dataset.load_bytes("x.xyz", f"0\n{head} energy=-1\n".encode())


def test_a_large_molecule_in_its_cell_costs_no_more_than_a_small_one():
    grid = np.stack(np.meshgrid(*[np.arange(10.0)] * 3), axis=-1).reshape(-1, 3)
    lines = [f"C {x} {y} {z} 0.1 0.2 0.3" for x, y, z in grid]
    head = 'Lattice="{0} 0 0 0 {0} 0 0 0 {0}" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1'
    wide, narrow = (
        "\n".join([str(len(grid)), head.format(size) + ' pbc="T T T"', *lines]).encode()
        for size in (20, 11)
    )
    assert peak(lambda: dataset.load_bytes("x.xyz", wide)) < 100

    def refused() -> None:
        with pytest.raises(InputError, match="is periodic and"):
            dataset.load_bytes("x.xyz", narrow)

    assert peak(refused) < 100


@pytest.mark.parametrize("atoms", [30, 65, 400])
def test_the_closest_atoms_are_found_for_small_and_large_molecules(atoms):
    grid = np.stack(np.meshgrid(*[np.arange(8.0)] * 3), axis=-1).reshape(-1, 3)[:atoms]
    positions = np.stack([grid, grid])
    positions[1, 7] = positions[1, 20] + [0.0, 0.1, 0.0]
    with pytest.raises(InputError, match=r"Atoms 7 \(C\) and 20 \(C\) of frame 1 are 0\.1 Å"):
        core.check_arrays(positions, np.zeros(2), 0 * positions, np.full(atoms, 6))
    core.check_arrays(positions[:1], np.zeros(1), 0 * positions[:1], np.full(atoms, 6))


def array(shape, dtype, content):
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, content)))


@pytest.mark.parametrize(
    "params",
    [
        {"__msgpack_chunked_array__": True},
        {"Embed_0": [{"embedding": 1}]},
        {"element_bias": "text"},
        {"element_bias": array([2], "complex64", bytes(16))},
        {"Embed_0": {3: array([1], "float32", bytes(4))}},
    ],
    ids=["chunks without a shape", "a list", "a text", "complex numbers", "a number as a name"],
)
def test_trees_that_are_no_parameters(params):
    whole = msgpack.unpackb(
        flax.serialization.to_bytes(seeds.tutorial_tree()), strict_map_key=False
    )["params"]
    tutorial_refusal({"params": {**whole, **params}})


def test_a_tree_without_end():
    tree: dict = {}
    for _ in range(400):
        tree = {"params": tree}
    tutorial_refusal(tree)


def test_an_embedding_of_no_rows_is_not_filled_up():
    tree = seeds.tutorial_tree()
    tree["params"]["Embed_0"] = {"embedding": np.zeros((0, 1, 1, 10**9), np.float32)}
    tree["params"]["element_bias"] = np.zeros(0, np.float32)
    data = flax.serialization.to_bytes(tree)

    def refused() -> None:
        with pytest.raises(InputError, match="features must be a whole number from 1 to 1024"):
            tutorial.load_bytes(data, cutoff=5.0, energy_unit="eV")

    assert peak(refused) < 20


@pytest.mark.parametrize("key", ["config", "elements", "format", "units"])
def test_a_refusal_does_not_repeat_a_long_header(key):
    sound = seeds.checkpoint_files()[0]
    length = int.from_bytes(sound[:8], "little")
    header = sound[8 : 8 + length].decode()
    at = header.index(f'"{key}":"') + len(key) + 4
    text = (header[:at] + "x" * 5000 + header[at:]).encode()
    with pytest.raises(InputError) as refusal:
        checkpoint.load_bytes(len(text).to_bytes(8, "little") + text + sound[8 + length :])
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("name", "value"),
    [("replicas", 10**12), ("replicas", -1), ("steps", "x"), ("timestep", None), ("steps", 1e300)],
)
def test_a_run_of_absurd_numbers(name, value):
    fields = json.loads(seeds.run_headers()[0])
    fields["settings"][name] = value
    with pytest.raises(InputError, match=f"the run's {name} must be a (whole )?number from 0 to"):
        RunHeader.from_json(fields)


@pytest.mark.parametrize("limits", [[[]], 5, 1.5])
def test_a_run_whose_clash_limits_are_no_table(limits):
    fields = json.loads(seeds.run_headers()[0])
    fields["clash_limits"] = limits
    with pytest.raises(InputError):
        RunHeader.from_json(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", ["x"]), ("command", 5), ("created", {}), ("number", "first"), ("identity", [1]),
        ("versions", {"jax": [1]}), ("dataset", "x"), ("notes", [[1]]), ("device", {"a": 1}),
        ("names", [1, 2]), ("roles", ["king", "default"]), ("roles", [[], []]),
        ("atomic_numbers", [1.5, 1, 8]), ("atomic_numbers", ["H", "H", "O"]), ("masses", [1.0]),
        ("masses", [1.0, float("nan"), 1.0]), ("masses", ["a", "b", "c"]), ("checkpoints", [5, 6]),
        ("bonds", [[0, 99, 1.0]]), ("bonds", [[0, 1, float("inf")]]), ("bonds", [[0, 1e999, 1.0]]),
        ("degrees_of_freedom", "all"), ("degrees_of_freedom", 10**9),
    ],
)  # fmt: skip
def test_a_run_whose_header_has_fields_of_another_type(name, value):
    fields = json.loads(seeds.run_headers()[0])
    with pytest.raises(InputError):
        RunHeader.from_json({**fields, name: value})


@pytest.mark.parametrize("epoch", ["Infinity", "1e999", "[]", "{}", '"x"', "[" * 5000])
def test_the_state_of_a_training_takes_no_list_away(tmp_path, epoch):
    np.savez(tmp_path / listing.TRAINING_STATE, header=f'{{"epoch": {epoch}}}')
    assert listing.epochs_done(tmp_path) == 0


def test_the_step_of_a_run_takes_no_list_away(tmp_path):
    np.savez(tmp_path / "chunk-000000.npz", step=np.inf)
    assert listing.Entry("runs", tmp_path, "x").done == 0


def test_frames_of_a_run_that_would_unpack_to_more_than_the_file(tmp_path):
    path = tmp_path / "chunk-000000.npz"
    np.savez_compressed(path, positions=np.zeros(10**7))
    with pytest.raises(InputError, match="it is packed"):
        headers.load(path, ("positions",))


def test_frames_of_a_run_whose_header_names_petabytes(tmp_path):
    path = tmp_path / "chunk-000000.npz"
    with zipfile.ZipFile(path, "w") as file:
        text = "{'descr': '<f8', 'fortran_order': False, 'shape': (10**14,)}".replace(
            "10**14", str(10**14)
        )
        file.writestr(
            "positions.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        )
    with pytest.raises(InputError, match="cannot be read"):
        headers.load(path, ("positions",))


def test_no_sentence_is_endless():
    said = str(InputError(f"received {'[' * 10_000}; a list of three would be right"))
    assert len(said) < 1200 and said.startswith("received [[[")
    assert said.endswith("; a list of three would be right")


@pytest.mark.parametrize("key", ["version", "e_unit", "r_unit"])
def test_a_refusal_does_not_repeat_a_long_text(key):
    layout = dict(seeds.npz_layouts()[0 if key == "version" else 1])
    assert len(npz_refusal(seeds.npz({**layout, key: "[" * 450}))) < 700
