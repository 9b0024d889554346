"""What another Python evaluates is what the same model gives in this one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError, within
from fisherdash.md import initial, integrator
from fisherdash.potentials import checkpoint, foreign
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm, energy_and_forces
from fisherdash.potentials.potential import OnceDifferentiable, PerAtom, Potential
from fisherdash.potentials.worker import Outside, client, importing, trusted
from fisherdash.settings import ImportSettings, Options, OutsideSettings
from tests.potentials.worker import toy
from tests.randomised import ETHANOL, displaced_ethanol

FRAMES = displaced_ethanol(5, amplitude=0.05)


@dataclasses.dataclass(frozen=True)
class Inside:
    """The toy in JAX."""

    fixed: bool = True
    family, num_features, cutoff, elements = "inside", 4, 50.0, toy.ELEMENTS
    precisions, taylor = ("float32", "float64"), False

    def to_json(self):
        return {}

    def shapes(self):
        return {}

    def features(self, params, atomic_numbers, positions, *, neighbours=None, forward_mode=False):
        del params, neighbours, forward_mode
        x, z = positions.astype(jnp.float64), atomic_numbers
        squared = jnp.sum((x[:, :, None] - x[:, None]) ** 2, axis=-1)
        near = jnp.exp(-squared[..., None] / toy.WIDTHS) * jnp.asarray(toy.STRENGTH)[z][:, None]
        near = near * (1 - jnp.eye(x.shape[1]))[..., None]
        h = jnp.tanh(jnp.asarray(toy.BIAS)[z] + near.sum(axis=2))
        return PerAtom(h, toy.SPRING * squared.sum(axis=(1, 2)) / 2 if self.fixed else None)

    def with_neighbours(self, evaluate, positions):
        return evaluate(positions, None)

    def frames_per_block(self, atoms):
        return 1000


@pytest.fixture(params=[True, False], ids=["springs", "no springs"])
def pair(request, file, python) -> tuple[Checkpoint, Checkpoint]:
    """The toy outside, imported, and inside."""
    asked = OutsideSettings(family="mace", python=python, trusted=True)
    found = importing.load(file(springs=request.param), ImportSettings(), asked, name="toy")
    outside = found.checkpoint
    assert found.probe.head_error <= 1e-12 and found.probe.force_error <= 1e-8
    return outside, dataclasses.replace(outside, potential=Inside(request.param))


def frames(positions) -> Dataset:
    blank = np.zeros(len(positions))
    return Dataset(positions, blank, np.zeros_like(positions), ETHANOL)


def test_it_is_a_potential_that_can_be_derived_once(pair) -> None:
    outside = pair[0].potential
    assert isinstance(outside, Potential) and isinstance(outside, OnceDifferentiable)
    assert not isinstance(Inside(), OnceDifferentiable)
    assert hash(outside) == hash(Outside.from_json(outside.to_json()))


def test_energies_and_forces_are_the_same(pair) -> None:
    heads = [pair[0].head, np.random.default_rng(0).normal(size=4)]
    for head in heads:
        outside, inside = (dataclasses.replace(one, head=head) for one in pair)
        data = frames(np.concatenate([FRAMES] * 30))  # several blocks
        (e, f), (energies, forces) = predict(outside, data), predict(inside, data)
        assert np.abs(e - energies).max() <= 1e-10 and np.abs(f - forces).max() <= 1e-12
        assert np.abs(forces).max() > 0.1


@pytest.mark.slow
def test_push_and_pull_are_one_derivative(pair) -> None:
    outside, inside = (one.potential for one in pair)
    rng = np.random.default_rng(1)
    x, dx = jnp.asarray(FRAMES), jnp.asarray(rng.normal(size=FRAMES.shape))

    def outputs(potential):
        def values(x):
            found = potential.features({}, ETHANOL, x)
            return (found.features, found.fixed) if potential.fixed else (found.features,)

        return values

    found, pushed = jax.jit(lambda x, dx: jax.jvp(outputs(outside), (x,), (dx,)))(x, dx)
    wanted, slopes = jax.jvp(outputs(inside), (x,), (dx,))
    weights = tuple(jnp.asarray(rng.normal(size=one.shape)) for one in found)
    (pulled,) = jax.jit(lambda x, w: jax.vjp(outputs(outside), x)[1](w))(x, weights)
    (slope,) = jax.vjp(outputs(inside), x)[1](weights)
    for ours, theirs in ((found, wanted), (pushed, slopes), (pulled, slope)):
        assert all(
            np.allclose(a, b, rtol=1e-12, atol=1e-13)
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        )
    along = sum(jnp.sum(w * t) for w, t in zip(weights, pushed, strict=True))
    assert np.isclose(along, jnp.sum(pulled * dx), rtol=1e-12)


@pytest.mark.parametrize("second", ["hessian", "jvp of jvp", "grad of grad"])
@pytest.mark.parametrize("jitted", [False, True])
def test_a_second_derivative_is_refused_in_one_sentence(pair, second, jitted) -> None:
    def energy(x):
        return jnp.sum(pair[0].potential.features({}, ETHANOL, x).features ** 2)

    inner = jax.jit(energy) if jitted else energy
    x = jnp.asarray(FRAMES[:1])

    def slope(x):
        return jax.jvp(inner, (x,), (x,))[1]

    attempts = {
        "hessian": lambda: jax.hessian(inner)(x),
        "jvp of jvp": lambda: jax.jvp(slope, (x,), (x,)),
        "grad of grad": lambda: jax.grad(lambda x: jnp.sum(jax.grad(inner)(x) ** 2))(x),
    }
    with pytest.raises(InputError, match="first derivatives only"):
        attempts[second]()


def labelled(model: Checkpoint, count: int) -> Dataset:
    positions = displaced_ethanol(count, amplitude=0.05)
    other = dataclasses.replace(model, head=model.head * np.linspace(0.7, 1.3, 4))
    energies, forces = predict(other, frames(positions))
    return Dataset(positions, energies, forces, ETHANOL, temperature=300.0, source="planted")


@pytest.mark.slow
@pytest.mark.parametrize("pair", [True], ids=["springs"], indirect=True)
@pytest.mark.parametrize(
    "options",
    [Options(), Options(head="by element"), Options(head="quadratic", metric="noise")],
    ids=lambda one: one.head,
)
def test_a_re_fit_gives_the_same_head(pair, options) -> None:
    data = labelled(pair[1], 60)
    options = dataclasses.replace(options, test_boltzmann=False, noise_frames=64, ridge=1e-6)
    found = [fisher.solve(one, data, options) for one in pair]
    (_, ours), (_, theirs) = (predict(one.checkpoint, frames(FRAMES)) for one in found)
    assert np.abs(ours - theirs).max() < 1e-8
    assert np.abs(ours - predict(pair[0], frames(FRAMES))[1]).max() > 1e-2


@pytest.mark.slow
def test_a_re_fit_leaves_out_what_needs_second_derivatives_and_refuses_the_laplacian_way(
    pair,
) -> None:
    data = labelled(pair[1], 20)
    assert fisher.solve(pair[0], data, Options()).boltzmann is None
    with pytest.raises(InputError, match="no second derivatives"):
        fisher.solve(pair[0], data, Options(method="laplacian"))


@pytest.mark.slow
def test_energy_is_conserved_to_second_order(pair) -> None:
    model = pair[0]
    params, head = model.on_device("float64")
    numbers, masses = jnp.asarray(ETHANOL), jnp.asarray(initial.masses(ETHANOL))
    start = jnp.asarray(FRAMES[0])

    def forces_at(x):
        e, f = energy_and_forces(model.potential, model.form, params, head, numbers, x[None])
        return e[0], f[0]

    def one(motion, timestep):
        motion = integrator.step(motion, forces_at, masses, timestep)
        return motion, motion.potential + integrator.kinetic_energy(motion.momenta, masses)

    @jax.jit
    def run(timesteps):
        first = integrator.Motion(start, jnp.zeros_like(start), *forces_at(start)[::-1])
        return jax.lax.scan(one, first, timesteps)[1] - first.potential

    steps = np.array([0.5, 1.0, 2.0])
    errors = [np.std(run(jnp.full(round(60 / dt), dt))) for dt in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.05)


def test_a_model_that_fails_within_compiled_code_is_one_sentence(file, python, caplog) -> None:
    asked = OutsideSettings(family="mace", python=python, trusted=True)
    model = importing.load(
        file(fault="crash", after=40), ImportSettings(), asked, name="toy"
    ).checkpoint
    with pytest.raises(Exception, match="Illegal something") as told:
        for _ in range(40):
            predict(model, frames(FRAMES))
    sentence = within(told.value)
    assert sentence is not None and str(sentence).endswith("(SIGSEGV): Illegal something at 0x0")
    assert "\n" not in str(sentence) and not caplog.records
    assert within(ValueError("Illegal something")) is None


def test_tangents_that_are_not_finite_raise(file, python) -> None:
    asked = OutsideSettings(family="mace", python=python, trusted=True)
    with pytest.raises(Exception, match="are not finite") as told:
        importing.load(file(fault="tangent"), ImportSettings(), asked, name="toy")
    assert within(told.value)


def test_a_checkpoint_holds_a_hash_and_opens_nothing(pair, tmp_path) -> None:
    path = tmp_path / "toy.safetensors"
    checkpoint.save(pair[0], path)
    loaded = checkpoint.load(path)
    assert loaded.potential == pair[0].potential and loaded.fingerprint == pair[0].fingerprint
    assert path.stat().st_size < 5000 and b"theirs" not in path.read_bytes()
    trusted.find(loaded.potential.sha256, "mace").path.unlink()
    client.close_all()
    with pytest.raises((InputError, jax.errors.JaxRuntimeError, ValueError)) as told:
        predict(loaded, frames(FRAMES))
    assert "not imported on this machine" in str(within(told.value))


def test_a_checkpoint_of_another_shape_is_not_evaluated(pair) -> None:
    model = pair[0]
    potential = dataclasses.replace(model.potential, num_features=3)
    wrong = dataclasses.replace(model, potential=potential, head=model.head[:3])
    with pytest.raises(InputError, match="is not the model of this checkpoint"):
        predict(wrong, frames(FRAMES))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "../../etc/passwd"}, {"sha256": "F" * 64}, {"sha256": 3}, {"elements": [6, 1]},
        {"elements": []}, {"elements": [0]}, {"mace_head": "a\nb"}, {"mace_head": 1},
        {"family": "torchani"}, {"num_features": 10**6}, {"python": "/bin/sh"},
    ],
    ids=str,
)  # fmt: skip
def test_fields_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(InputError):
        Outside.from_json(Outside().to_json() | wrong)


def test_the_probe_holds_it_to_its_limits_with_heads_by_element(pair) -> None:
    found = foreign.probe(pair[0].in_form(HeadForm("by element", (1, 6, 8))))
    assert found.head_error <= 1e-12 and found.force_error <= 1e-8


@pytest.mark.slow
def test_large_calls_at_once_do_not_wait_for_each_other(file, python) -> None:
    """As many as there are cores, of arrays that JAX would copy in the pool in which they run."""
    script = f"""
import threading, jax, jax.numpy as jnp, numpy as np
from pathlib import Path
from fisherdash.potentials.worker import importing
from fisherdash.settings import ImportSettings, OutsideSettings
from tests.randomised import ETHANOL, displaced_ethanol
asked = OutsideSettings(family="mace", python={python!r}, trusted=True)
model = importing.load(Path({str(file())!r}), ImportSettings(), asked, name="toy").checkpoint
slope = jax.jit(jax.grad(lambda x: jnp.sum(model.potential.features({{}}, ETHANOL, x)[0] ** 2)))
x = jnp.asarray(displaced_ethanol(1000, amplitude=0.05))
slope(x).block_until_ready()
def work():
    found = [slope(x + 0.001 * number) for number in range(3)]
    (jnp.ones((1500, 1500)) @ jnp.ones((1500, 1500))).block_until_ready()
    jax.block_until_ready(found)
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for one in threads: one.start()
for one in threads: one.join()
"""
    words = [sys.executable, "-c", script]
    subprocess.run(words, cwd=Path(__file__).parents[3], timeout=120, check=True)
