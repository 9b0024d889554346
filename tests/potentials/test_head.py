"""What is made from per-atom features by a head of any form, against automatic differentiation.

Forms of a head: what they refuse, how they are written and joined.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import Derivatives
from fisherdash.potentials.head import (
    KINDS,
    SHARED,
    Descriptors,
    Head,
    HeadForm,
    energy_and_forces,
    joint_basis,
    rewritten,
)
from fisherdash.potentials.potential import Potential, Trainable, as_precision
from tests.potentials.toy import FEATURES, FORMS, Toy
from tests.randomised import ETHANOL, displaced_ethanol


def test_two_reductions_meet_in_one_that_spans_both() -> None:
    rng = np.random.default_rng(5)
    bases = [np.linalg.qr(rng.normal(size=(8, 2)))[0] for _ in range(2)]
    joint = joint_basis(bases, 8)
    assert joint is not None and joint.shape == (8, 4)
    np.testing.assert_allclose(joint.T @ joint, np.eye(4), atol=1e-12)
    for basis in bases:
        form, wide = HeadForm("quadratic", (6,), 2), HeadForm("quadratic", (6,), 4)
        weights = rng.normal(size=form.size(8))
        wider = rewritten(weights, form, basis, wide, joint, 8)
        small, large = Head.of(form, 8, weights), Head.of(wide, 8, wider)
        np.testing.assert_allclose(
            basis @ small.quadratic[0] @ basis.T, joint @ large.quadratic[0] @ joint.T, atol=1e-12
        )
    assert joint_basis([bases[0], bases[0]], 8) is bases[0]
    assert joint_basis([bases[0], None], 8) is None
    assert joint_basis([np.eye(8)[:, :4], np.eye(8)[:, 4:]], 8) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "cubic"}, "the form of a head is one of"),
        ({"kind": "by element"}, "has elements of its own"),
        ({"kind": "shared", "elements": (1,)}, "has no elements of its own"),
        ({"kind": "by element", "elements": (6, 1)}, "rising order"),
        ({"kind": "by element", "elements": (1, 6), "reduce": 3}, "only a quadratic head"),
        ({"kind": "quadratic", "elements": (1, 6), "reduce": -1}, "a whole number"),
    ],
)
def test_forms_that_make_no_sense_are_refused(fields: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        HeadForm(**fields)


def test_forms_survive_json() -> None:
    for form, _ in FORMS.values():
        assert HeadForm.from_json(form.to_json()) == form
    with pytest.raises(InputError, match="has the fields"):
        HeadForm.from_json({"kind": "shared"})


NETWORK = Toy(FEATURES)
BODY = jax.tree.map(jnp.asarray, NETWORK.init(0))
NUMBERS = jnp.asarray(ETHANOL)


@pytest.fixture(params=FORMS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def weights_of(name: str, seed: int = 0) -> np.ndarray:
    """Random weights of a form."""
    return np.random.default_rng(seed).normal(size=FORMS[name][0].size(FEATURES))


def head_of(name: str, weights: np.ndarray) -> Head:
    form, basis = FORMS[name]
    return jax.tree.map(jnp.asarray, Head.of(form, FEATURES, weights, basis))


@functools.partial(jax.jit, static_argnums=(0, 1))
def evaluate(potential, name, head, positions, numbers=NUMBERS):
    return energy_and_forces(potential, FORMS[name][0], BODY, head, numbers, positions)


FRAMES = 3
"""Of every call of ``derive``, so that each program is compiled once."""


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4))
def derive(potential, name, positions, laplacian=False, internal=False, key=None):
    form, basis = FORMS[name]
    return Derivatives.of(
        potential, form, BODY, basis, NUMBERS, positions,
        laplacian=laplacian, internal=internal, key=key,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def values(name, positions):
    form, basis = FORMS[name]
    phi = Descriptors(form, basis, NUMBERS)
    return phi.values(phi.carried(NETWORK.features(BODY, NUMBERS, positions).features))


def phi(name: str, numbers=NUMBERS):
    """x (N·3,) → φ, straight from the definition: explicit sums over atoms and elements."""
    form, basis = FORMS[name]
    i, j = np.triu_indices(form.directions(FEATURES))

    def of(x):
        h = NETWORK.features(BODY, numbers, x.reshape(1, -1, 3)).features[0]
        if form.kind == "shared":
            return h.sum(axis=0)
        atoms = [np.flatnonzero(np.asarray(numbers) == z) for z in form.elements]
        parts = [h[members].sum(axis=0) for members in atoms]
        if form.kind == "quadratic":
            y = h if basis is None else h @ basis
            parts += [(y[members][:, i] * y[members][:, j]).sum(axis=0) for members in atoms]
        return jnp.concatenate(parts)

    return of


def test_the_toy_is_a_potential_that_can_be_trained() -> None:
    assert isinstance(NETWORK, Potential) and isinstance(NETWORK, Trainable)
    assert hash(NETWORK) == hash(Toy(**NETWORK.to_json()))


def test_sizes() -> None:
    elements = (1, 6, 8)
    assert HeadForm("quadratic", elements).size(16) == 456
    assert HeadForm("quadratic", elements).size(32) == 1680
    assert HeadForm("quadratic", elements, 16).size(64) == 3 * (64 + 136)
    assert HeadForm("by element", elements).size(32) == 96 and SHARED.size(32) == 32


def test_descriptors_are_their_definition(name: str) -> None:
    positions = jnp.asarray(displaced_ethanol(3))
    found, defined = values(name, positions), jax.jit(phi(name))
    assert found.shape == (3, FORMS[name][0].size(FEATURES))
    for row, x in zip(found, positions, strict=True):
        np.testing.assert_allclose(row, defined(x.ravel()), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_jacobian_and_laplacian_are_those_of_automatic_differentiation(name: str) -> None:
    positions = jnp.asarray(displaced_ethanol(FRAMES))
    first, second = jax.jit(jax.jacfwd(phi(name))), jax.jit(jax.hessian(phi(name)))
    g = np.stack([first(x.ravel()).T for x in positions])
    laplacian = np.stack([np.trace(second(x.ravel()), axis1=1, axis2=2) for x in positions])
    assert np.abs(laplacian).min() > 1e-4
    for internal in (False, True):
        found, plain = (derive(NETWORK, name, positions, how, internal) for how in (True, False))
        np.testing.assert_allclose(found.jacobian, g, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.laplacian, laplacian, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(plain.jacobian, g, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(plain.values, found.values, rtol=1e-12)
        assert plain.laplacian is None and plain.fixed is None


@pytest.mark.slow
def test_a_laplacian_without_taylor_series_is_the_same(name: str) -> None:
    positions = jnp.asarray(displaced_ethanol(FRAMES))
    one, other = (
        derive(Toy(FEATURES, True, taylor), name, positions, True, True) for taylor in (True, False)
    )
    for found, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_estimated_laplacians_are_unbiased() -> None:
    positions = jnp.asarray(np.repeat(displaced_ethanol(1), 1000, axis=0))
    exact = derive(NETWORK, "reduced", positions[:FRAMES], True).laplacian[0]
    found = derive(NETWORK, "reduced", positions, 2, False, jax.random.key(0)).laplacian
    away = (np.mean(found, axis=0) - exact) / (np.std(found, axis=0) / 1000**0.5)
    assert np.abs(away).max() < 4.5


def test_energies_are_the_weights_times_the_descriptors(name: str) -> None:
    positions = jnp.asarray(displaced_ethanol(70))
    weights = weights_of(name)
    found, forces = evaluate(NETWORK, name, head_of(name, weights), positions)
    np.testing.assert_allclose(found, values(name, positions) @ weights, rtol=1e-11)
    g = derive(NETWORK, name, positions[:FRAMES]).jacobian
    np.testing.assert_allclose(
        forces[:FRAMES].reshape(FRAMES, -1), -(g @ weights), rtol=1e-9, atol=1e-9
    )


def test_energies_and_forces_can_be_differentiated_by_the_weights(name: str) -> None:
    positions, weights = jnp.asarray(displaced_ethanol(FRAMES)), weights_of(name)
    form, basis = FORMS[name]

    @jax.jit
    @jax.grad
    def slope(weights):
        head = Head.of(form, FEATURES, weights, basis)
        found, forces = energy_and_forces(NETWORK, form, BODY, head, NUMBERS, positions)
        return 0.5 * (jnp.sum(found**2) + jnp.sum(forces**2))

    found = derive(NETWORK, name, positions)
    d, g = np.asarray(found.values), np.asarray(found.jacobian).reshape(FRAMES * 27, -1)
    expected = d.T @ (d @ weights) + g.T @ (g @ weights)
    np.testing.assert_allclose(slope(weights), expected, rtol=1e-9, atol=1e-9)


def test_forces_are_minus_the_gradient_by_differences(name: str) -> None:
    head, x, step = head_of(name, weights_of(name)), displaced_ethanol(1)[0], 1e-4
    steps = step * np.eye(27).reshape(27, 9, 3)
    plus, _ = evaluate(NETWORK, name, head, x + steps)
    minus, _ = evaluate(NETWORK, name, head, x - steps)
    _, forces = evaluate(NETWORK, name, head, np.repeat(x[None], 27, axis=0))
    away = -(plus - minus) / (2 * step) - forces[0].ravel()
    assert np.abs(away).max() < 1e-6 * np.abs(forces).max()


@pytest.mark.slow
def test_a_fixed_part_is_in_energies_and_forces_and_apart_in_derivatives(name: str) -> None:
    positions, springs = jnp.asarray(displaced_ethanol(FRAMES)), Toy(FEATURES, springs=True)
    head = head_of(name, weights_of(name))

    @jax.jit
    def fixed(x):
        return springs.features(BODY, NUMBERS, x).fixed

    slope = jax.jit(jax.grad(lambda x: jnp.sum(fixed(x))))(positions)
    without, with_it = (evaluate(one, name, head, positions) for one in (NETWORK, springs))
    np.testing.assert_allclose(with_it[0] - without[0], fixed(positions), rtol=1e-10)
    np.testing.assert_allclose(with_it[1] - without[1], -slope, rtol=1e-8, atol=1e-10)
    for laplacian in (False, True):
        found = derive(springs, name, positions, laplacian, True).fixed
        np.testing.assert_allclose(found.energy, fixed(positions), rtol=1e-12)
        gradient = found.gradient.reshape(positions.shape)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-10)


def test_nothing_changes_under_motions_mirrors_and_permutations(name: str) -> None:
    positions, head = displaced_ethanol(2), head_of(name, weights_of(name))
    found, forces = evaluate(NETWORK, name, head, positions)
    assert np.abs(forces).max() > 1e-2
    rng = np.random.default_rng(1)
    for mirror in (1.0, -1.0):
        matrix = mirror * Rotation.random(random_state=3).as_matrix()
        moved = evaluate(NETWORK, name, head, positions @ matrix.T + rng.normal(size=3))
        np.testing.assert_allclose(moved[0], found, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(moved[1], forces @ matrix.T, rtol=1e-9, atol=1e-9)
    order = rng.permutation(9)
    permuted = evaluate(NETWORK, name, head, positions[:, order], NUMBERS[order])
    np.testing.assert_allclose(permuted[0], found, rtol=1e-11)
    np.testing.assert_allclose(permuted[1], forces[:, order], rtol=1e-9, atol=1e-9)


def test_heads_of_one_body_in_one_batch_are_as_each_alone(name: str) -> None:
    positions = np.repeat(displaced_ethanol(20), 2, axis=0)  # 40 frames: more than one block
    all_weights = [weights_of(name, seed) for seed in (0, 1)]
    form, basis = FORMS[name]
    stacked = Head.of(form, FEATURES, jnp.asarray(np.tile(all_weights, (20, 1))), basis)
    both = evaluate(NETWORK, name, stacked, positions)
    for index, weights in enumerate(all_weights):
        alone = evaluate(NETWORK, name, head_of(name, weights), positions)
        for one, other in zip(both, alone, strict=True):
            np.testing.assert_allclose(one[index::2], other[index::2], rtol=1e-11, atol=1e-11)
    assert np.abs(both[0][0] - both[0][1]) > 1e-3


@dataclasses.dataclass(frozen=True)
class Counted(Toy):
    """Counts the frames that it evaluates."""

    frames: list = dataclasses.field(default_factory=list, compare=False)

    def features(self, params, atomic_numbers, positions, **how):
        # One number of every frame, so that no two calls are taken for one.
        jax.debug.callback(lambda x: self.frames.append(len(x)), positions[:, 0, 0])
        return super().features(params, atomic_numbers, positions, **how)


def test_frames_that_nobody_wants_cost_nothing_and_change_no_bit_of_the_others(name: str) -> None:
    potential = Counted()
    block = potential.frames_per_block(len(ETHANOL))
    frames = 4 * block - 5
    positions = displaced_ethanol(frames)
    weights = jnp.asarray([weights_of(name, seed) for seed in range(frames)])
    head = Head.of(FORMS[name][0], FEATURES, weights, FORMS[name][1])

    @jax.jit
    def run(wanted):
        form = FORMS[name][0]
        return energy_and_forces(potential, form, BODY, head, NUMBERS, positions, wanted)

    every = run(np.ones(frames, bool))
    for one, other in zip(every, evaluate(NETWORK, name, head, positions), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
    for count in (0, 1, block, 2 * block + 1):
        wanted = np.zeros(frames, bool)
        wanted[np.random.default_rng(count).choice(frames, count, replace=False)] = True
        jax.effects_barrier()
        potential.frames.clear()
        some = jax.block_until_ready(run(wanted))
        jax.effects_barrier()
        assert sum(potential.frames) == -(-count // block) * block
        for part, of_all in zip(some, every, strict=True):
            assert np.array_equal(part[wanted], of_all[wanted]) and np.all(np.isfinite(part))


def test_one_pass_through_the_network_whatever_the_head(name: str) -> None:
    def evaluated(form_name: str) -> int:
        head = head_of(form_name, weights_of(form_name))
        form = FORMS[form_name][0]
        jaxpr = jax.make_jaxpr(lambda x: energy_and_forces(NETWORK, form, BODY, head, NUMBERS, x))(
            displaced_ethanol(2)
        )
        return str(jaxpr).count("tanh")

    assert evaluated(name) == evaluated("shared") > 0


@pytest.mark.parametrize("wider", ["by element", "quadratic", "reduced"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_head_without_products_equals_the_linear_one(wider: str, precision: str) -> None:
    positions = displaced_ethanol(4)
    linear = weights_of("by element")
    form, basis = FORMS[wider]
    weights = rewritten(linear, FORMS["by element"][0], None, form, basis, FEATURES)
    assert len(weights) == form.size(FEATURES)
    body = as_precision(NETWORK, BODY, precision)
    first, second = (
        jax.jit(energy_and_forces, static_argnums=(0, 1))(
            NETWORK, FORMS[one][0], body, head_of(one, w), NUMBERS, positions
        )
        for one, w in (("by element", linear), (wider, weights))
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6 if precision == "float32" else 1e-12,
                                   atol=1e-6 if precision == "float32" else 1e-12)  # fmt: skip


@pytest.mark.parametrize("narrow", FORMS)
@pytest.mark.parametrize("wide", FORMS)
def test_rewriting_keeps_the_energy_or_is_refused(narrow: str, wide: str) -> None:
    (form, basis), (wanted, wanted_basis) = FORMS[narrow], FORMS[wide]
    kinds = KINDS.index(form.kind), KINDS.index(wanted.kind)
    if kinds[0] > kinds[1] or (narrow == "quadratic" and wide == "reduced"):
        with pytest.raises(InputError):
            rewritten(weights_of(narrow), form, basis, wanted, wanted_basis, FEATURES)
        return
    weights = weights_of(narrow)
    other = rewritten(weights, form, basis, wanted, wanted_basis, FEATURES)
    positions = jnp.asarray(displaced_ethanol(3))
    one, two = (
        evaluate(NETWORK, k, head_of(k, w), positions)[0]
        for k, w in ((narrow, weights), (wide, other))
    )
    np.testing.assert_allclose(one, two, rtol=1e-10)
