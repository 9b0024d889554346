"""PaiNN of SchNetPack's files, against its definition, symmetries, and what a file may hold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives
from fisherdash.potentials import checkpoint, head, inert
from fisherdash.potentials.head import SHARED, Head
from fisherdash.potentials.origin import Found
from fisherdash.potentials.potential import Potential
from fisherdash.potentials.schnetpack import PaiNN, reading
from tests.potentials.schnetpack import files
from tests.potentials.torchfile import Fn, listed, module, saved
from tests.randomised import ETHANOL, displaced_ethanol

NUMBERS = jnp.asarray(ETHANOL)
VARIANTS = {
    "plain": {},
    "bessel": {"basis": "bessel"},
    "shared filters": {"shared_filters": True},
    "shared rounds": {"shared_rounds": True},
    "no hidden layer": {"hidden": ()},
    "two hidden layers": {"hidden": (4, 3)},
    "softplus": {"activation": files.SOFTPLUS},
    "one round": {"rounds": 1, "cutoff": 1.9},
    "schnet": {"make": files.schnet},
    "schnet, bessel, silu": {"make": files.schnet, "basis": "bessel", "activation": files.SILU},
}


def read(described) -> Found:
    """What the reader makes of a description."""
    return reading.read(inert.load_bytes(saved(described)))


@functools.partial(jax.jit, static_argnums=0)
def run(potential, body, theta, positions, numbers=NUMBERS):
    return head.energy_and_forces(potential, SHARED, body, Head(theta), numbers, positions)


def evaluate(found: Found, positions, numbers=NUMBERS, theta=None):
    """Energies and forces in the unit of the file, without constants."""
    theta = jnp.asarray(found.head if theta is None else theta)
    body = jax.tree.map(jnp.asarray, found.body)
    return run(found.potential, body, theta, jnp.asarray(positions), numbers)


def energies_of(found: Found, positions):
    """The same energies, without forces that would have to be compiled too."""
    body, theta = jax.tree.map(jnp.asarray, found.body), Head(jnp.asarray(found.head))
    energies = jax.jit(
        lambda x: head.energy_and_forces(found.potential, SHARED, body, theta, NUMBERS, x)[0]
    )
    return energies(jnp.asarray(positions))


@pytest.fixture(scope="module", params=["painn", "schnet"])
def make(request: pytest.FixtureRequest):
    return getattr(files, request.param)


@pytest.fixture(scope="module")
def plain(make) -> Found:
    return read(make())


@pytest.mark.parametrize("variant", VARIANTS)
def test_energies_are_those_of_the_definition(variant: str) -> None:
    how = dict(VARIANTS[variant])
    described = how.pop("make", files.painn)(**how)
    found, positions = read(described), displaced_ethanol(2)
    energies = energies_of(found, positions)
    expected = np.array([files.energy(described, ETHANOL, x) for x in positions])
    constant = found.element_bias[ETHANOL].sum()
    np.testing.assert_allclose(energies + constant, expected, rtol=1e-12, atol=1e-12)
    assert np.abs(np.diff(expected)).min() > 1e-3
    assert isinstance(found.potential, Potential)
    rebuilt = checkpoint.potential_of(found.potential.family, found.potential.to_json())
    assert rebuilt == found.potential and hash(rebuilt) == hash(found.potential)


def test_forces_are_minus_the_gradient_by_differences(plain) -> None:
    x, step = displaced_ethanol(1)[0], 1e-4
    steps = step * np.eye(27).reshape(27, 9, 3)
    moved = np.concatenate([x + steps, x - steps, x[None]])
    energies, forces = evaluate(plain, moved)
    away = -(energies[:27] - energies[27:54]) / (2 * step) - forces[-1].ravel()
    assert np.abs(away).max() < 1e-6 * np.abs(forces[-1]).max()


def test_nothing_changes_under_motions_mirrors_and_permutations(plain) -> None:
    positions = displaced_ethanol(2)
    found, forces = evaluate(plain, positions)
    assert np.abs(forces).max() > 1e-2
    rng = np.random.default_rng(1)
    for mirror in (1.0, -1.0):
        matrix = mirror * Rotation.random(random_state=3).as_matrix()
        moved = evaluate(plain, positions @ matrix.T + rng.normal(size=3))
        np.testing.assert_allclose(moved[0], found, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(moved[1], forces @ matrix.T, rtol=1e-9, atol=1e-9)
    order = rng.permutation(9)
    permuted = evaluate(plain, positions[:, order], NUMBERS[order])
    np.testing.assert_allclose(permuted[0], found, rtol=1e-11)
    np.testing.assert_allclose(permuted[1], forces[:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_another_head_in_the_file_changes_the_energy_by_its_descriptors(plain, make) -> None:
    positions = jnp.asarray(displaced_ethanol(2))
    body = jax.tree.map(jnp.asarray, plain.body)
    derive = jax.jit(lambda x: Derivatives.of(plain.potential, SHARED, body, None, NUMBERS, x))
    g = derive(positions)
    before, forces = evaluate(plain, positions)
    for seed in range(3):
        v = np.random.default_rng(seed).normal(size=len(plain.head))
        described = make()
        weights = files.last_layer(described).state["_parameters"]
        weights["weight"] = weights["weight"] + v
        after, pulled = evaluate(read(described), positions)
        np.testing.assert_allclose(after - before, g.values @ v, rtol=1e-9)
        slope = (g.jacobian @ v).reshape(forces.shape)
        np.testing.assert_allclose(pulled - forces, -slope, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_derivatives_of_the_descriptors_are_those_of_automatic_differentiation(plain) -> None:
    positions = jnp.asarray(displaced_ethanol(20))
    body = jax.tree.map(jnp.asarray, plain.body)

    @functools.partial(jax.jit, static_argnums=1)
    def derive(x, internal):
        return Derivatives.of(
            plain.potential, SHARED, body, None, NUMBERS, x, laplacian=True, internal=internal
        )

    def sums(x):
        found = plain.potential.features(body, NUMBERS, x.reshape(1, 9, 3)).features
        return jnp.sum(found, axis=(0, 1))

    second = jax.jit(jax.hessian(sums))(positions[3].ravel())
    for internal in (False, True):
        found = derive(positions, internal)
        np.testing.assert_allclose(
            found.laplacian[3], np.trace(second, axis1=1, axis2=2), rtol=1e-8, atol=1e-8
        )
        np.testing.assert_allclose(
            found.jacobian[3], jax.jit(jax.jacfwd(sums))(positions[3].ravel()).T, atol=1e-9
        )


@pytest.mark.slow
def test_atoms_beyond_the_cutoff_are_alone_and_the_energy_is_continuous_there(plain) -> None:
    numbers = jnp.array([6, 8])

    def pair(d: float):
        return evaluate(plain, np.array([[[0.0, 0, 0], [d, 0, 0]]]), numbers)

    alone = (
        evaluate(plain, np.zeros((1, 1, 3)), jnp.array([6]))[0]
        + evaluate(plain, np.zeros((1, 1, 3)), jnp.array([8]))[0]
    )
    for d in (3.0, 3.1, 50.0):
        energy, forces = pair(d)
        np.testing.assert_allclose(energy, alone, rtol=1e-12)
        assert not np.any(forces)
    near = pair(3.0 - 1e-4)
    assert 0 < abs(near[0] - alone)[0] < 1e-7 and np.abs(near[1]).max() < 1e-2
    assert np.abs(pair(2.0)[1]).max() > 1e-2


def test_single_precision_is_near_double(plain, make) -> None:
    positions = displaced_ethanol(2)
    exact = evaluate(plain, positions)
    single = read(make(dtype="f4"))
    assert single.body["embedding"].dtype == np.float32
    rough = evaluate(single, positions)
    np.testing.assert_allclose(rough[1], exact[1], atol=2e-4 * np.abs(exact[1]).max())


@pytest.mark.slow
def test_large_batches_are_evaluated_in_blocks(plain) -> None:
    assert PaiNN().frames_per_block(9) == 9 and PaiNN().frames_per_block(1000) == 1
    positions = displaced_ethanol(3)
    many = np.tile(positions, (plain.potential.frames_per_block(9) // 3 + 2, 1, 1))
    found, forces = evaluate(plain, many)
    few, few_forces = evaluate(plain, positions)
    np.testing.assert_allclose(found[-3:], few, rtol=1e-12)
    np.testing.assert_allclose(forces[-3:], few_forces, rtol=1e-9, atol=1e-12)


# What a file may hold. ----------------------------------------------------------------------------


def test_offsets_of_the_energy_become_constants_of_the_elements() -> None:
    references = np.zeros(10)
    references[[1, 6, 8]] = (-0.5, -38.0, -75.0)
    found = read(files.painn(offsets={"mean": -2.0, "atomref": references}))
    bare = read(files.painn())
    np.testing.assert_allclose(
        (found.element_bias - bare.element_bias)[[0, 1, 6, 7, 8]], [0, -2.5, -40, -2, -77]
    )
    assert found.elements == (1, 6, 8) and bare.elements is None
    off = files.painn(offsets={"mean": -2.0})
    off.state["do_postprocessing"] = False
    assert "left out" in read(off).notes[0]
    np.testing.assert_array_equal(read(off).element_bias, bare.element_bias)


def test_schnet_without_rounds_or_with_other_layers_is_refused() -> None:
    with pytest.raises(InputError, match="different activations"):
        read(files.changed(files.schnet(), (*OUT, "outnet", 0), activation=files.SILU))
    with pytest.raises(InputError, match="no rounds"):
        read(_with(files.schnet(hidden=()), REP, "interactions", listed()))
    found = read(files.schnet()).potential
    assert (found.family, found.width, found.filters) == ("schnetpack-schnet", 5, 6)


def test_what_was_found_is_counted_as_the_library_does() -> None:
    found = read(files.painn(width=5, rounds=2, hidden=(4,)))
    message, mixing = 5 * 5 + 5 + 15 * 5 + 15, 10 * 5 + 5 + 15 * 5 + 15 + 10 * 5
    output = 5 * 4 + 4 + 4 + 1
    assert found.parameters == 10 * 5 + (6 * 30 + 30) + 2 * (message + mixing) + output
    shared = read(files.painn(width=5, rounds=2, hidden=(4,), shared_rounds=True))
    # The file holds one layer, named twice; a description that is written twice holds two.
    assert shared.parameters == found.parameters
    assert found.readout == "sum over atoms of a network 5 → 4 → 1, linear at its end"


BOMB = functools.reduce(lambda inner, _: [inner] * 5, range(7), [])
NANS = np.full((10, 5), np.nan)
REP, OUT = ("representation",), ("output_modules", 0)
REFUSED = {
    "another root": (lambda m: module("schnetpack.task.AtomisticTask"), "AtomisticTask"),
    "another network": (
        lambda m: files.potential(module("schnetpack.representation.so3net.SO3net"), []),
        "SO3net",
    ),
    "average": (lambda m: files.changed(m, OUT, aggregation_mode="avg"), "'avg'"),
    "two outputs": (lambda m: files.changed(m, OUT, n_out=2), "2 outputs"),
    "other forces": (
        lambda m: files.changed(m, ("output_modules", 1), energy_key="dipole"),
        "made of dipole",
    ),
    "charges": (
        lambda m: _with(m, ("output_modules",), "2", module("schnetpack.atomistic.EnergyCoulomb")),
        "EnergyCoulomb",
    ),
    "scaled": (
        lambda m: _with(m, ("postprocessors",), "9", module("schnetpack.transform.ScaleProperty")),
        "ScaleProperty",
    ),
    "field": (
        lambda m: _with(m, ("input_modules",), "9", module("schnetpack.atomistic.StaticField")),
        "StaticField",
    ),
    "charge embedding": (
        lambda m: _with(m, REP, "electronic_embeddings", listed(module("a.ElectronicEmbedding"))),
        "charge, spin",
    ),
    "another embedding": (
        lambda m: _with(m, REP, "embedding", module("schnetpack.nn.NuclearEmbedding")),
        "NuclearEmbedding",
    ),
    "another cutoff": (
        lambda m: _with(m, REP, "cutoff_fn", module("schnetpack.nn.cutoff.MollifierCutoff")),
        "MollifierCutoff",
    ),
    "another basis": (
        lambda m: _with(m, REP, "radial_basis", module("schnetpack.nn.radial.Centered")),
        "Centered",
    ),
    "curved end": (
        lambda m: _activated(files.last_layer(m), files.SILU) or m,
        "not linear in its weights",
    ),
    "unknown activation": (
        lambda m: files.changed(m, (*OUT, "outnet", 0), activation=Fn("torch.tanh")),
        "torch.tanh",
    ),
    "two activations": (
        lambda m: files.changed(m, (*OUT, "outnet", 0), activation=files.SOFTPLUS),
        "different activations",
    ),
    "no weights": (
        lambda m: files.changed(m, (*REP, "embedding"), _parameters={}),
        "no numbers 'weight'",
    ),
    "not finite": (
        lambda m: files.changed(m, (*REP, "embedding"), _parameters={"weight": NANS}),
        "not all finite",
    ),
    "no mixing": (lambda m: _with(m, REP, "mixing", listed()), "rounds of messages"),
    "no network": (lambda m: _with(m, (), "representation", None), "no part 'representation'"),
    "no output": (lambda m: _with(m, (), "output_modules", listed()), "outputs of the file"),
    "an empty output": (
        lambda m: _with(m, OUT, "outnet", listed(kind="Sequential")),
        "no layers",
    ),
    "a flat embedding": (
        lambda m: files.changed(m, (*REP, "embedding"), _parameters={"weight": np.ones(10)}),
        "not 2 dimensions",
    ),
    "a word as a number": (
        lambda m: files.changed(m, (*REP, "mixing", 0), epsilon=[[], []]),
        "epsilon must be",
    ),
    "a list as a key": (lambda m: files.changed(m, OUT, output_key=[BOMB]), "are made of"),
    "a list as a way": (lambda m: files.changed(m, OUT, aggregation_mode=BOMB), "by [["),
    "wide": (
        lambda m: files.changed(
            m, (*REP, "embedding"), _parameters={"weight": np.ones((10, 2049), "f4")}
        ),
        "width must be",
    ),
}  # fmt: skip


def _with(described, path, name, part):
    parts = files.inside(described, *path).state["_modules"]
    parts[name] = part
    if part is None:
        del parts[name]
    return described


def _activated(layer, activation) -> None:
    del layer.state["_modules"]["activation"]
    layer.state["activation"] = activation


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_its_name(name: str) -> None:
    change, expected = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read(change(files.painn()))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 10**6},
        {"hidden": [10**6]},
        {"hidden": ["a"]},
        {"hidden": "ab"},
        {"cutoff": float("nan")},
        {"epsilon": 0},
        {"iterations": 99},
        {"embeddings": 500},
        {"basis": "polynomial"},
        {"unknown": 1},
        {"shared_filters": "yes"},
    ],
)
def test_a_configuration_of_a_stranger_is_checked(fields: dict) -> None:
    with pytest.raises(InputError):
        checkpoint.potential_of("schnetpack-painn", PaiNN().to_json() | fields)
    with pytest.raises(InputError):
        checkpoint.potential_of("schnetpack", PaiNN().to_json())
