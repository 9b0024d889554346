"""ANI of NeuroChem's folders, against its definition, symmetries, and what a folder may hold."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.data import chemical_symbols
from scipy.spatial.transform import Rotation

from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives
from fisherdash.potentials import ani, checkpoint, head
from fisherdash.potentials.ani import Ani
from fisherdash.potentials.head import Head
from fisherdash.potentials.potential import Potential
from tests.potentials import folders
from tests.randomised import ETHANOL, displaced_ethanol

NUMBERS = jnp.asarray(ETHANOL)
SYMBOLS = [chemical_symbols[z] for z in ETHANOL]
FOUND = ani.read(folders.files(), "train0")
BODY = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), FOUND.body)


@functools.partial(jax.jit, static_argnums=0)
def run(potential, body, theta, positions, numbers):
    return head.energy_and_forces(potential, FOUND.form, body, Head(theta), numbers, positions)


def evaluate(positions, numbers=NUMBERS, theta=FOUND.head):
    """Energies and forces in the unit of the folder, without constants."""
    return run(FOUND.potential, BODY, jnp.asarray(theta), jnp.asarray(positions), numbers)


def test_energies_are_those_of_the_definition() -> None:
    positions = displaced_ethanol(2)
    expected = [folders.energy(folders.files(), SYMBOLS, x) for x in positions]
    # Shifts are kept in single precision, as in the network.
    found = evaluate(positions)[0] + FOUND.element_bias[ETHANOL].sum()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert abs(expected[0] - expected[1]) > 1e-3
    assert isinstance(FOUND.potential, Potential) and FOUND.elements == (1, 6, 8)
    rebuilt = checkpoint.potential_of("ani", FOUND.potential.to_json())
    assert rebuilt == FOUND.potential and hash(rebuilt) == hash(FOUND.potential)


def test_layers_of_wildly_different_widths_are_not_filled_up() -> None:
    """A hundred kilobytes once became gigabytes: every layer as wide as the widest of its kind."""
    wide = {"H": (2048, 1, 2048, 1, 2048), "C": (1, 2048, 1, 2048, 1), "O": (1, 1, 1, 1, 1)}
    files = folders.files(sizes=wide)
    assert sum(map(len, files.values())) < 10**6
    with pytest.raises(InputError, match="so different widths"):
        ani.read(files, "train0")


@pytest.mark.parametrize("atoms", [1, 2, 3])
def test_small_molecules_have_no_angles_and_are_right(atoms: int) -> None:
    x = displaced_ethanol(1)[0, [0, 3, 2]][:atoms]
    numbers = ETHANOL[[0, 3, 2]][:atoms]
    expected = folders.energy(folders.files(), [chemical_symbols[z] for z in numbers], x)
    found = evaluate(x[None], jnp.asarray(numbers))[0][0] + FOUND.element_bias[numbers].sum()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_forces_are_minus_the_gradient_by_differences() -> None:
    x, step = displaced_ethanol(1)[0], 1e-5
    steps = step * np.eye(27).reshape(27, 9, 3)
    energies, forces = evaluate(np.concatenate([x + steps, x - steps, x[None]]))
    away = -(energies[:27] - energies[27:54]) / (2 * step) - forces[-1].ravel()
    assert np.abs(away).max() < 1e-6 * np.abs(forces[-1]).max()


def test_nothing_changes_under_motions_mirrors_and_permutations() -> None:
    positions = displaced_ethanol(2)
    found, forces = evaluate(positions)
    assert np.abs(forces).max() > 1e-2
    rng = np.random.default_rng(1)
    for mirror in (1.0, -1.0):
        matrix = mirror * Rotation.random(random_state=3).as_matrix()
        moved = evaluate(positions @ matrix.T + rng.normal(size=3))
        np.testing.assert_allclose(moved[0], found, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(moved[1], forces @ matrix.T, rtol=1e-9, atol=1e-9)
    order = rng.permutation(9)
    permuted = evaluate(positions[:, order], NUMBERS[order])
    np.testing.assert_allclose(permuted[0], found, rtol=1e-11)
    np.testing.assert_allclose(permuted[1], forces[:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_derivatives_are_those_of_another_head() -> None:
    positions = jnp.asarray(displaced_ethanol(3))

    @jax.jit
    def derive(x):
        potential = FOUND.potential
        return Derivatives.of(potential, FOUND.form, BODY, None, NUMBERS, x, laplacian=True)

    found, (energy, forces) = derive(positions), evaluate(positions)
    v = np.random.default_rng(0).normal(size=len(FOUND.head))
    other, pulled = evaluate(positions, theta=FOUND.head + v)
    np.testing.assert_allclose(other - energy, found.values @ v, rtol=1e-9)
    slope = (found.jacobian @ v).reshape(forces.shape)
    np.testing.assert_allclose(pulled - forces, -slope, rtol=1e-8, atol=1e-10)
    assert np.isfinite(found.laplacian).all() and np.abs(found.laplacian).max() > 1e-3


def test_narrow_layers_are_filled_up_with_zeros() -> None:
    assert FOUND.potential.widths == (5, 4) and FOUND.potential.inputs == folders.INPUTS
    sizes = [(folders.INPUTS, *hidden, 1) for hidden in folders.SIZES.values()]
    expected = sum(a * b + b for one in sizes for a, b in itertools.pairwise(one))
    assert FOUND.parameters == expected
    np.testing.assert_array_equal(FOUND.head.reshape(3, 4)[1, 3:], 0)  # carbon has three


def ensemble(**changes: dict) -> dict[str, bytes]:
    """Three networks and a main file above them, as in a folder that holds them."""
    found = {"set/inputtrain.ipt": b"of all"}
    for n in range(3):
        inside = folders.files(n, **changes.get(f"train{n}", {}))
        found |= {f"set/train{n}/{name}": data for name, data in inside.items()}
    return found


def test_the_energy_of_an_ensemble_is_the_mean_of_its_members() -> None:
    found = ani.read(ensemble(), "set")
    assert found.potential.members == 3 and found.potential.num_features == 3 * 4
    assert found.parameters == 3 * FOUND.parameters and found.readout.startswith("mean of 3")
    assert checkpoint.potential_of("ani", found.potential.to_json()) == found.potential
    positions = displaced_ethanol(2)
    expected = np.mean(
        [[folders.energy(folders.files(n), SYMBOLS, x) for x in positions] for n in range(3)],
        axis=0,
    )
    body = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), found.body)
    energies = run(found.potential, body, jnp.asarray(found.head), jnp.asarray(positions), NUMBERS)[
        0
    ]
    constants = found.element_bias[ETHANOL].sum()
    np.testing.assert_allclose(energies + constants, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("change", [{"ShfR": [0.9, 1.6, 2.5]}, {"Rcr": [4.5]}])
def test_networks_that_differ_are_no_ensemble(change: dict) -> None:
    with pytest.raises(InputError, match=r"no ensemble: .* set/train0 and set/train1 differ"):
        ani.read(ensemble(train1=change), "set")
    two = ensemble() | {f"other/{name}": data for name, data in folders.files().items()}
    with pytest.raises(InputError, match="networks in several places"):
        ani.read(two, "set")


WRONG = {
    "no main file": (lambda f: f.pop("inputtrain.ipt"), "no file 'inputtrain.ipt'"),
    "no constants": (lambda f: f.pop("r.params"), "no file 'r.params'"),
    "no energies": (lambda f: f.update({"sae.dat": b"H,0=-0.5\n"}), "single atoms C, O"),
    "short weights": (lambda f: f.update({"networks/ANN-C.nnf-l1.wparam": b"1234"}), "4 bytes"),
    "no weights": (lambda f: f.pop("networks/ANN-O.nnf-l3.bparam"), "0 bytes"),
    "another activation": (lambda f: _said(f, "activation=9", "activation=5"), "CELU (9)"),
    "a curved end": (lambda f: _said(f, "activation=6", "activation=9"), "linear output (6)"),
    "absurd nodes": (lambda f: _said(f, "nodes=5;", "nodes=5000000000;"), "is not read"),
    "many nodes": (lambda f: _said(f, "nodes=5;", "nodes=500000;"), "widths must be"),
    "a layer of another type": (lambda f: _said(f, "type=0", "type=2"), "is not read"),
    "no networks": (lambda f: _said(f, "atom_net", "net"), "no networks"),
    "an unknown element": (lambda f: _said(f, "atom_net H", "atom_net Xy"), "no networks"),
    "other elements": (lambda f: _said(f, "atom_net H", "atom_net N"), "symmetry functions for"),
    "words": (lambda f: f.update({"r.params": f["r.params"].replace(b"0.9", b"x")}), "'x'"),
    "infinite": (lambda f: f.update({"r.params": f["r.params"].replace(b"0.9", b"inf")}), "'inf'"),
    "no shifts": (lambda f: f.update({"r.params": f["r.params"].replace(b"ShfA", b"S")}), "ShfA"),
    "an endless text": (lambda f: f.update({"r.params": b"a" * 30_000}), "at most 20000"),
    "a long word": (lambda f: _said(f, "nodes=5;", "a" * 10_000), "is not read"),
    "not finite": (
        lambda f: f.update(
            {"networks/ANN-H.nnf-l3.wparam": np.full(4, np.nan, "<f4").tobytes()}
        ),
        "not all finite",
    ),
}  # fmt: skip


def _said(files: dict[str, bytes], old: str, new: str) -> None:
    files["inputtrain.ipt"] = files["inputtrain.ipt"].replace(old.encode(), new.encode())


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_folder_is_named(name: str) -> None:
    change, expected = WRONG[name]
    files = folders.files()
    change(files)
    with pytest.raises(InputError) as caught:
        ani.read(files, "train0")
    assert expected in str(caught.value)
    for zeta in ([2.5], [2, 3], [0], [1e9]):
        with pytest.raises(InputError):
            ani.read(folders.files(Zeta=zeta), "train0")


@pytest.mark.parametrize(
    "fields",
    [{"species": [1, 1]}, {"species": []}, {"species": [500]}, {"widths": [10**9]}, {"zeta": 0},
     {"radial_cutoff": float("nan")}, {"angles": 10**6}, {"unknown": 1}],
)  # fmt: skip
def test_a_configuration_of_a_stranger_is_checked(fields: dict) -> None:
    with pytest.raises(InputError):
        checkpoint.potential_of("ani", Ani().to_json() | fields)
