"""Checkpoints come back as they went, and nothing unsound is let in."""

import dataclasses
import json
import tracemalloc
from pathlib import Path

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.e3x import E3x, ModelConfig, tutorial
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm
from fisherdash.units import KCAL_PER_MOL
from tests.randomised import ETHANOL, planted_dataset, random_checkpoint

CONFIG = random_checkpoint().potential.config


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    sound = random_checkpoint(dtype=np.float32)
    return dataclasses.replace(sound, provenance={"seed": 3, "nested": {"a": [1, 2]}})


@pytest.fixture
def data(model: Checkpoint, tmp_path: Path) -> bytes:
    checkpoint.save(model, tmp_path / "m.safetensors")
    return (tmp_path / "m.safetensors").read_bytes()


def rewrite(data: bytes, arrays: dict | None = None, drop: str = "", **metadata: str) -> bytes:
    """The same file with some arrays or header entries replaced."""
    tensors = safetensors.numpy.load(data)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])["__metadata__"] | metadata
    tensors |= arrays or {}
    tensors.pop(drop, None)
    return safetensors.numpy.save(tensors, header)


def test_round_trip(model: Checkpoint, data: bytes) -> None:
    again = checkpoint.load_bytes(data)
    assert again.fingerprint == model.fingerprint
    assert (again.potential, again.form, again.elements, again.name) == (
        model.potential,
        model.form,
        model.elements,
        model.name,
    )
    assert again.provenance == model.provenance
    np.testing.assert_array_equal(again.head, model.head)


def test_fingerprint_sees_every_change(model: Checkpoint) -> None:
    head = model.head.copy()
    head[0] = np.nextafter(head[0], 1)
    changed = model.with_head(head, model.element_bias, "other", {})
    wider = dataclasses.replace(model, potential=E3x(dataclasses.replace(CONFIG, cutoff=3.5)))
    assert len({model.fingerprint, changed.fingerprint, wider.fingerprint}) == 3


@pytest.mark.parametrize("cut", [0, 7, 8, 100, -1])
def test_truncated_files_are_refused(data: bytes, cut: int) -> None:
    with pytest.raises(InputError, match="not a FisherDash checkpoint"):
        checkpoint.load_bytes(data[:cut])


def test_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.safetensors").write_bytes(b"\x80\x04\x95cposix\nsystem\n")
    with pytest.raises(InputError, match=r"evil\.safetensors is not a FisherDash checkpoint"):
        checkpoint.load(tmp_path / "evil.safetensors")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*absent\.safetensors"):
        checkpoint.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "names the format 'other'"),
        ({"format_version": "99"}, "version '99'; this program reads version 1"),
        ({"config": "{}"}, "a model configuration has the fields"),
        ({"config": "nonsense"}, "header .* is damaged"),
        ({"config": "[" * 100_000}, "header .* is damaged"),
        ({"units": '{"length": "bohr", "energy": "eV"}'}, "units must be"),
        ({"elements": '["C"]'}, "header .* is damaged"),
        ({"elements": "[0]"}, "atomic numbers from 1 to 118"),
        ({"provenance": "3"}, "header .* is damaged"),
        ({"drop": "head"}, "lacks the array 'head'"),
        ({"drop": "body/Embed_0/embedding"}, "missing .*Embed_0/embedding"),
        ({"arrays": {"body/extra": np.zeros(2, np.float32)}}, "unknown .*extra"),
        ({"arrays": {"head": np.zeros(3)}}, r"head must have the shape \(6,\).*received \(3,\)"),
        ({"arrays": {"head": np.full(6, np.nan)}}, "head must hold finite"),
        ({"arrays": {"head": np.arange(6)}}, "must hold floating-point numbers, received int64"),
    ],
)
def test_unsound_content_is_refused(data: bytes, change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        checkpoint.load_bytes(rewrite(data, **change))


def test_a_configuration_of_another_width_is_refused(data: bytes, model: Checkpoint) -> None:
    wider = json.dumps(dataclasses.replace(CONFIG, features=7).to_json())
    with pytest.raises(InputError, match="must have the shape"):
        checkpoint.load_bytes(rewrite(data, config=wider))


def test_energy_reference_sums_to_the_mean() -> None:
    reference = checkpoint.energy_reference(-4209.5, ETHANOL)
    assert reference[ETHANOL].sum() == pytest.approx(-4209.5, rel=1e-14)
    assert np.flatnonzero(reference).tolist() == [1, 6, 8]


def test_tutorial_parameters(model: Checkpoint) -> None:
    bias = model.element_bias.astype(np.float32)
    params = {
        **model.body,
        "Dense_4": {"kernel": model.head[:, None].astype(np.float32)},
        "element_bias": bias,
    }
    data = flax.serialization.to_bytes({"params": params})
    loaded = tutorial.load_bytes(data, cutoff=3.0, energy_unit="kcal/mol")
    assert loaded.potential == model.potential
    assert loaded.elements == model.elements
    np.testing.assert_allclose(loaded.head, KCAL_PER_MOL * model.head, rtol=1e-6)
    np.testing.assert_allclose(loaded.element_bias, KCAL_PER_MOL * bias, rtol=1e-6)


def test_tutorial_file_of_fewer_elements(model: Checkpoint) -> None:
    body = {**model.body, "Embed_0": {"embedding": model.body["Embed_0"]["embedding"][:10]}}
    params = {**body, "Dense_4": {"kernel": np.ones((6, 1))}, "element_bias": np.zeros(10)}
    loaded = tutorial.load_bytes(
        flax.serialization.to_bytes(params), cutoff=5.0, energy_unit="eV", name="small"
    )
    assert loaded.elements == tuple(range(1, 10))
    assert loaded.potential == E3x(dataclasses.replace(CONFIG, cutoff=5.0))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not msgpack at all",
        flax.serialization.to_bytes({"params": {"x": np.zeros(3)}}),
        flax.serialization.msgpack_serialize([1, 2]),
    ],
)
def test_other_files_are_not_tutorial_files(data: bytes) -> None:
    with pytest.raises(InputError, match="E3x tutorial"):
        tutorial.load_bytes(data, cutoff=5.0, energy_unit="eV")


EMPTY_MAPS = b"\xdc" + (50_000).to_bytes(2, "big") + b"\x80" * 50_000


def nested(depth: int) -> bytes:
    """Arrays within arrays: whoever opens each within the one before holds all of them."""
    found = b"\xc0" * 50_000
    for _ in range(depth):
        found = b"\xc9" + len(found).to_bytes(4, "big") + b"\x01" + found
    return found


@pytest.mark.parametrize(
    "data",
    [
        EMPTY_MAPS,
        nested(200),
        b"\xc9" + len(EMPTY_MAPS).to_bytes(4, "big") + b"\x01" + EMPTY_MAPS,  # as an array
        b"\x81\xa1x" + b"\xdc" + (9_000).to_bytes(2, "big") + b"\x91\x80" * 9_000,
    ],
    ids=["list", "arrays within arrays", "within an array", "within lists"],
)
def test_a_tutorial_file_of_empty_maps_takes_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="E3x tutorial"):
            tutorial.load_bytes(data, cutoff=5.0, energy_unit="eV")
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


def test_a_header_of_very_many_arrays_is_not_read(data: bytes) -> None:
    entries = {
        f"{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(40_000)
    }
    header = json.dumps(entries).encode()
    whole = len(header).to_bytes(8, "little") + header
    assert len(safetensors.numpy.load(whole)) == 40_000
    with pytest.raises(InputError, match="of which a model needs at most 2,000,000"):
        checkpoint.load_bytes(whole)


def test_tutorial_unit_must_be_known(model: Checkpoint) -> None:
    with pytest.raises(InputError, match="energy_unit must be one of"):
        tutorial.load_bytes(b"", cutoff=5.0, energy_unit="cal")


def test_published_defaults() -> None:
    assert ModelConfig() == ModelConfig(32, 2, 3, 32, 3.0)


@pytest.mark.slow
def test_a_head_by_element_says_the_same_until_it_is_changed(tmp_path: Path) -> None:
    shared = random_checkpoint()
    data = planted_dataset(shared, 3)
    split = shared.by_element([8, 1, 6, 6])
    assert split.form == HeadForm("by element", (1, 6, 8))
    assert split.head.shape == (3 * CONFIG.features,)
    for one, other in zip(predict(shared, data), predict(split, data), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    # With only oxygen's head left, what oxygen contributes is left.
    only = np.zeros_like(split.head)
    only[-CONFIG.features :] = shared.head
    oxygen = split.with_head(only, 0 * split.element_bias, "oxygen", {})
    h = jax.jit(E3x(CONFIG).features)(
        jax.tree.map(jnp.asarray, shared.body),
        jnp.asarray(data.atomic_numbers),
        jnp.asarray(data.positions),
    ).features
    expected = h[:, data.atomic_numbers == 8][:, 0] @ shared.head
    np.testing.assert_allclose(predict(oxygen, data)[0], expected, rtol=1e-10)
    checkpoint.save(split, tmp_path / "split.safetensors")
    again = checkpoint.load(tmp_path / "split.safetensors")
    assert (again.potential, again.form) == (split.potential, split.form)
    assert again.fingerprint == split.fingerprint
    with pytest.raises(InputError, match=r"contains C, .*has no head; it has heads for H and O"):
        shared.by_element([1, 8]).check_elements(data.atomic_numbers)


def test_the_covariance_travels_and_changes_no_fingerprint(tmp_path: Path) -> None:
    shared = random_checkpoint()
    covariance = np.eye(len(shared.head))
    known = shared.with_head(shared.head, shared.element_bias, "known", {}, covariance)
    assert known.fingerprint == shared.fingerprint
    checkpoint.save(known, tmp_path / "known.safetensors")
    np.testing.assert_array_equal(
        checkpoint.load(tmp_path / "known.safetensors").head_covariance, covariance
    )
    with pytest.raises(InputError, match="head_covariance must have the shape"):
        shared.with_head(shared.head, shared.element_bias, "wrong", {}, covariance[:2])


@pytest.mark.parametrize("reduce", [0, 2])
def test_a_quadratic_head_comes_back_as_it_went(tmp_path: Path, reduce: int) -> None:
    shared = random_checkpoint()
    rng = np.random.default_rng(8)
    basis = np.linalg.qr(rng.normal(size=(CONFIG.features, reduce)))[0] if reduce else None
    data = planted_dataset(shared, 3)
    wide = shared.in_form(HeadForm("quadratic", (1, 6, 8), reduce), basis)
    # With zeros for the products nothing has changed, with other numbers all has.
    for one, other in zip(predict(shared, data), predict(wide, data), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    other = wide.with_head(rng.normal(size=wide.head.shape), wide.element_bias, "other", {})
    assert np.abs(predict(other, data)[1] - predict(wide, data)[1]).max() > 0.1
    checkpoint.save(other, tmp_path / "wide.safetensors")
    again = checkpoint.load(tmp_path / "wide.safetensors")
    assert (again.form, again.fingerprint) == (other.form, other.fingerprint)
    assert wide.fingerprint not in (shared.fingerprint, other.fingerprint)
    for one, two in zip(predict(other, data), predict(again, data), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match="cannot be written as 'by element'"):
        wide.by_element([1, 6, 8])


def test_principal_directions_must_fit_the_form() -> None:
    shared, form = random_checkpoint(), HeadForm("quadratic", (1, 6, 8), 2)
    for basis in (None, np.eye(6)[:, :3], np.eye(5)[:, :2]):
        with pytest.raises(InputError, match=r"principal directions of the shape \(6, 2\)"):
            shared.in_form(form, basis)


def test_a_file_of_another_family_is_refused(data: bytes) -> None:
    config = json.dumps({**CONFIG.to_json(), "family": "unheard of"})
    with pytest.raises(InputError, match=r"one of 'e3x', .*received 'unheard of'"):
        checkpoint.load_bytes(rewrite(data, config=config))


def test_arrays_of_any_order_in_memory_are_written_as_they_are(tmp_path: Path) -> None:
    shared = random_checkpoint()
    basis = np.asfortranarray(np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0])
    wide = shared.in_form(HeadForm("quadratic", (1, 6, 8), 3), basis[:, ::-1])
    assert wide.head_basis is not None and not wide.head_basis.flags.c_contiguous
    checkpoint.save(wide, tmp_path / "wide.safetensors")
    again = checkpoint.load(tmp_path / "wide.safetensors")
    assert again.fingerprint == wide.fingerprint
    np.testing.assert_array_equal(again.head_basis, wide.head_basis)  # pyright: ignore


def test_the_covariance_of_many_weights_travels_as_a_sketch(tmp_path, monkeypatch) -> None:
    shared = random_checkpoint()
    wide = shared.in_form(HeadForm("quadratic", (1, 6, 8)))
    rng = np.random.default_rng(1)
    root = rng.normal(size=(len(wide.head), len(wide.head)))
    covariance = root @ root.T
    known = wide.with_head(wide.head, wide.element_bias, "known", {}, covariance)
    monkeypatch.setattr(checkpoint, "WHOLE_COVARIANCE", 8)
    checkpoint.save(known, tmp_path / "known.safetensors")
    found = checkpoint.load(tmp_path / "known.safetensors").head_covariance
    assert found is not None and found.shape == covariance.shape
    g = rng.normal(size=(200, len(wide.head)))
    ratio = np.sqrt(np.sum((g @ found) * g, axis=1) / np.sum((g @ covariance) * g, axis=1))
    assert abs(ratio.mean() - 1) < 0.05 and ratio.min() > 0.6 and ratio.max() < 1.4
    assert np.linalg.matrix_rank(found) == checkpoint.SKETCH
    monkeypatch.setattr(checkpoint, "SKETCH", 32)
    with pytest.raises(InputError, match="head_covariance_root of known"):
        checkpoint.load(tmp_path / "known.safetensors")
