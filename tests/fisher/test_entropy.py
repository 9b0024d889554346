"""Newton's way on the relative entropy: an exact family, the trust region, and real dynamics."""

import dataclasses
import threading

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.errors import InputError
from fisherdash.fisher import entropy
from fisherdash.fisher.entropy import _Samples, descend_entropy
from fisherdash.fisher.solve import details
from fisherdash.monitor import Monitor
from fisherdash.settings import Options, StabilitySettings
from fisherdash.units import BOLTZMANN
from tests import networks

TEMPERATURE = 300.0
SHORT = StabilitySettings(replicas=4, picoseconds=0.2, timestep=0.5)


@pytest.fixture(scope="module")
def prepared() -> fisher.Prepared:
    """A small network on water, with a head for all atoms."""
    options = Options(method="kl", head="shared", ridge=0.3, test_boltzmann=False, stability=SHORT)
    data = dataclasses.replace(networks.water(), temperature=TEMPERATURE)
    return fisher.prepare(networks.checkpoint(0), data, options)


class Harmonic:
    """Exact moments of U_w = ½ Σ w_k x_k²: E φ_k = kT/2w_k and Var φ_k = ½(kT/w_k)²."""

    def __init__(self, failures=lambda head: 0) -> None:
        self.failures = failures

    def __call__(self, model, data, temperature, settings, cancel) -> _Samples:
        ratio = BOLTZMANN * temperature / model.head
        return _Samples(ratio / 2, np.diag(ratio**2 / 2), self.failures(model.head))


def descend(prepared: fisher.Prepared, **more) -> entropy.EntropyDescent:
    return descend_entropy(
        prepared.start,
        prepared.division.fit,
        prepared.fit,
        prepared.options,
        temperature=prepared.temperature,
        metric=prepared.metric,
        **more,
    )


def planted(prepared: fisher.Prepared, target: np.ndarray, start: np.ndarray) -> fisher.Prepared:
    """The same with data of the harmonic family with these force constants, and another start."""
    means = np.append(BOLTZMANN * TEMPERATURE / (2 * target), 0.0) * prepared.fit.frames
    first = dataclasses.replace(prepared.groups[0], energy_sum=means)
    others = [
        dataclasses.replace(one, energy_sum=np.zeros_like(means)) for one in prepared.groups[1:]
    ]
    head = prepared.start.with_head(start, prepared.start.element_bias, "start", {})
    options = dataclasses.replace(prepared.options, ridge=0.0)
    return dataclasses.replace(prepared, groups=(first, *others), start=head, options=options)


def test_newton_arrives_at_the_planted_force_constants(prepared, monkeypatch) -> None:
    monkeypatch.setattr(entropy, "_sample", Harmonic())
    target = np.linspace(1.0, 3.0, len(prepared.start.head))
    found = descend(planted(prepared, target, target * 1.2))
    np.testing.assert_allclose(found.head, target, rtol=1e-6)
    gradients = [one.gradient for one in found.rounds]
    # Newton's method: the error is squared from one round to the next.
    assert gradients[3] < 10 * gradients[2] ** 2 + 1e-9 and gradients[-1] < 1e-9
    assert all(one.kept for one in found.rounds) and len(found.rounds) == entropy.ROUNDS + 1


def test_a_step_that_costs_replicas_is_halved_and_then_given_up(prepared, monkeypatch) -> None:
    target = np.full(len(prepared.start.head), 2.0)
    there = planted(prepared, target, target * 1.1)
    begin = there.start.head
    monkeypatch.setattr(entropy, "_sample", Harmonic(lambda head: int(not (head == begin).all())))
    found = descend(there)
    np.testing.assert_array_equal(found.head, begin)
    assert [one.kept for one in found.rounds] == [True, False, False, False]
    assert [one.step for one in found.rounds[1:]] == pytest.approx(
        [found.rounds[1].step * share for share in (1, 0.5, 0.25)]
    )
    assert "0 Newton steps" in found.sentence and "failures over 0.2 ps" in found.sentence


@pytest.mark.slow
def test_dynamics_of_a_network_bring_its_moments_to_those_of_the_data(prepared) -> None:
    refit = fisher.solve(prepared.checkpoint, prepared.dataset, prepared.options)
    found = refit.entropy
    assert found is not None
    failures = [one.failures for one in found.rounds if one.kept]
    assert failures == sorted(failures, reverse=True), "no step that was kept costs a replica"
    assert found.rounds[0].gradient > 0
    assert not np.array_equal(refit.checkpoint.head, prepared.start.head)
    assert refit.checkpoint.provenance["method"] == "kl"
    by_force = refit.at(1e-3)
    assert by_force.checkpoint.provenance["method"] == "forces"
    assert details(refit)["relative_entropy"]["rounds"][0]["step"] == 0


@pytest.mark.parametrize(("bent", "linear"), [(0.02, True), (0.6, False)])
def test_a_linear_molecule_keeps_the_momenta_of_its_bending(monkeypatch, bent, linear) -> None:
    seen: list[bool] = []

    def momenta(positions, masses, temperature, seed, linear):
        seen.append(linear)
        raise InterruptedError

    rng = np.random.default_rng(0)
    rod = np.array([[0.96, 0.0, 0.0], [0.0, bent, 0.0], [-0.96, 0.0, 0.0]])
    positions = rod + 0.01 * rng.standard_normal((30, 3, 3))
    data = dataclasses.replace(networks.water(30), positions=positions)
    monkeypatch.setattr(entropy.initial, "thermal_momenta", momenta)
    with pytest.raises(InterruptedError):
        entropy._sample(networks.checkpoint(0), data, TEMPERATURE, SHORT, None)
    assert seen == [linear]


def test_what_it_cannot_do_is_refused(prepared) -> None:
    cold = dataclasses.replace(prepared, temperature=None)
    with pytest.raises(InputError, match="needs the temperature"):
        descend(cold)
    options = dataclasses.replace(prepared.options, ridge="stable")
    with pytest.raises(InputError, match="takes the ridge auto or a number"):
        descend(dataclasses.replace(prepared, options=options))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InputError, match="cancelled"):
        descend(prepared, monitor=Monitor(cancel))
