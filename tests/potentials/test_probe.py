"""The probe passes what is linear and smooth, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import HeadForm
from fisherdash.potentials.potential import PerAtom
from fisherdash.potentials.probe import probe
from tests.potentials.toy import Toy


@dataclasses.dataclass(frozen=True)
class Rough(Toy):
    """Steps in the energy, which have no slope."""

    def features(self, params, atomic_numbers, positions, **how):
        found = super().features(params, atomic_numbers, positions, **how).features
        return PerAtom(found + jnp.round(1e3 * found) / 1e3)


@dataclasses.dataclass(frozen=True)
class Different(Toy):
    """Another function where derivatives are pushed forward."""

    def features(self, params, atomic_numbers, positions, *, forward_mode=False, **how):
        found = super().features(params, atomic_numbers, positions, **how).features
        return PerAtom(found * (1.0 + 1e-6 * forward_mode))


def checkpoint(potential, elements=(1, 6, 8)) -> Checkpoint:
    body = jax.tree.map(np.asarray, potential.init(0))
    head = np.random.default_rng(0).normal(size=5)
    return Checkpoint(potential, body, head, np.zeros(119), elements)


@pytest.mark.parametrize("elements", [(1,), (1, 6, 8)])
@pytest.mark.parametrize("springs", [False, True])
def test_a_smooth_potential_with_a_linear_head_passes(elements, springs) -> None:
    found = probe(checkpoint(Toy(springs=springs), elements))
    assert found.passed and found.head_error < 1e-12 and found.force_error < 1e-8


def test_what_is_not_what_it_says_fails() -> None:
    rough, different = probe(checkpoint(Rough())), probe(checkpoint(Different()))
    assert rough.force_error > 1e-4 and not rough.passed
    assert different.head_error > 1e-7 and not different.passed


def test_a_head_by_element_passes_and_one_with_products_is_refused() -> None:
    linear = checkpoint(Toy()).by_element([1, 6, 8])
    assert probe(linear).passed
    with pytest.raises(InputError, match="products"):
        probe(linear.in_form(HeadForm("quadratic", (1, 6, 8))))
