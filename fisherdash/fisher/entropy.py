"""Relative entropy: Newton's way to the head whose own Boltzmann distribution is that of the data.

With p the distribution of the data and p_w ∝ exp(−βU_w) that of the model, and U_w = w·φ + const,

    ∂KL(p‖p_w)/∂w = β (E_p[φ] − E_w[φ]),      ∂²KL/∂w² = β² Cov_w[φ],

so that KL is convex in w (M. S. Shell, J. Chem. Phys. 129, 144108 (2008)). Unlike the Fisher
divergence it needs samples of the model, which are made here by dynamics from data frames, momenta
drawn anew every 100 fs. They start at the data and are short, so a part of the model's distribution
that is far from the data is not seen: an approximation (contrastive divergence, G. E. Hinton,
Neural Comput. 14, 1771 (2002)), and the reason why plain Newton steps have made models fail. A step
is therefore kept within the samples, (w' − w)ᵀ β²Cov (w' − w) ≤ 1, and is halved, then given up,
where more replicas fail with the new head than with the last one from the same initial states.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.moments import Equations, Metric, Moments
from fisherdash.fisher.ridge import head_at
from fisherdash.md import initial, simulate
from fisherdash.md.integrator import start as started
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import Descriptors, HeadForm
from fisherdash.potentials.potential import Parameters, Potential, as_precision
from fisherdash.settings import MDSettings, Options, StabilitySettings
from fisherdash.units import BOLTZMANN

USUAL_RIDGE = 0.01
"""λ over the largest eigenvalue of β²Cov, where nothing else was asked for."""
ROUNDS = 6
HALVINGS = 2
BURST = 100.0
"""fs between two draws of momenta."""
RECORDED = 5
"""Frames of every burst that count as samples."""


@dataclasses.dataclass(frozen=True)
class Round:
    """One head whose distribution was sampled.

    Attributes:
        failures: replicas that failed, of those that ran.
        replicas: that ran.
        gradient: E_p[φ] − E_w[φ] over the standard deviation of φ, root mean square over φ.
        step: length of the step that led here over Newton's own; 0 for the default head.
        kept: whether the head was kept.
    """

    failures: int
    replicas: int
    gradient: float
    step: float
    kept: bool


@dataclasses.dataclass(frozen=True, eq=False)
class EntropyDescent:
    """The rounds, the default head's first, and the last head that was kept.

    Attributes:
        head: w, eV.
        ridge: λ over the largest eigenvalue of β²Cov.
        rounds: every head that was sampled, in order.
        picoseconds, temperature: of the dynamics of each round, ps and K.
        effective_dof: of the last Newton step.
    """

    head: Float[np.ndarray, " p"]
    ridge: float
    rounds: tuple[Round, ...]
    picoseconds: float
    temperature: float
    effective_dof: float

    @property
    def sentence(self) -> str:
        """What happened, in plain words."""
        first, kept = self.rounds[0], [one for one in self.rounds if one.kept]
        given_up = len(self.rounds) - len(kept)
        return (
            f"{len(kept) - 1} Newton steps on the relative entropy were kept, {given_up} were "
            f"given up because more replicas failed; failures over {self.picoseconds:g} ps at "
            f"{self.temperature:g} K: {first.failures} → {kept[-1].failures} of {first.replicas}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Samples:
    mean: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    failures: int


def descend_entropy(
    start: Checkpoint,
    dataset: Dataset,
    moments: Moments,
    options: Options,
    *,
    temperature: float | None,
    metric: Metric | None = None,
    monitor: Monitor = UNWATCHED,
) -> EntropyDescent:
    """Newton steps on KL(p‖p_w) from the default head.

    Args:
        start: the default head, in the form that is fitted.
        dataset: the fitted frames, where the dynamics start.
        moments: their sums, which give E_p[φ].
        options: of the re-fit; the dynamics have the replicas, length and time step of its
            stability check.
        temperature: of the frames in K; None if unknown, which is refused.
        metric: of the ridge; None for the identity.
        monitor: told the share done, at most; stops the dynamics.

    Raises:
        InputError: without a temperature, for a rule that this way does not know, or when
            cancelled.
    """
    if temperature is None:
        raise InputError(
            "relative entropy needs the temperature of the frames, which these data do not give; "
            "give it in K (--temperature)"
        )
    ridge, replicas = _ridge_of(options), options.stability.replicas
    beta = 1 / (BOLTZMANN * temperature)
    wanted = moments.energy_sum[:-1] / moments.frames
    most = 1 + ROUNDS * (1 + HALVINGS)

    def sampled(head: Float[np.ndarray, " p"], number: int) -> _Samples:
        """Samples of a head; ``number`` heads were sampled before."""
        monitor.tell(number / most)
        model = start.with_head(head, start.element_bias, "kl", {})
        return _sample(model, dataset, temperature, options.stability, monitor)

    head, freedom = start.head, 0.0
    here = sampled(head, 0)
    rounds = [_round(here, wanted, replicas, 0.0, True)]
    while sum(one.kept for one in rounds) <= ROUNDS:
        hessian = beta**2 * here.covariance
        step, freedom = _newton(hessian, beta * (wanted - here.mean), ridge, metric)
        # Within the samples: a step of length 1 in the metric of their covariance, at most.
        share = min(1.0, 1 / max(float(np.sqrt(step @ hessian @ step)), 1e-300))
        for _ in range(1 + HALVINGS):
            there = sampled(head + share * step, len(rounds))
            kept = there.failures <= here.failures
            rounds.append(_round(there, wanted, replicas, share, kept))
            if kept:
                break
            share /= 2
        if not rounds[-1].kept:
            break
        head, here = head + share * step, there
    return EntropyDescent(
        head, ridge, tuple(rounds), options.stability.picoseconds, temperature, freedom
    )


def _ridge_of(options: Options) -> float:
    """λ over the largest eigenvalue; InputError for a rule that chooses it another way."""
    if options.ridge == "auto":
        return USUAL_RIDGE
    if isinstance(options.ridge, str):
        raise InputError(
            f"the method kl takes the ridge auto or a number (--ridge), received {options.ridge!r}"
        )
    return float(options.ridge)


def _newton(
    hessian: Float[np.ndarray, "p p"],
    gradient: Float[np.ndarray, " p"],
    ridge: float,
    metric: Metric | None,
) -> tuple[Float[np.ndarray, " p"], float]:
    """−(H + λμB)⁻¹g, μ the largest eigenvalue of H relative to B, and its degrees of freedom."""
    problem = Equations(hessian, -gradient, None, 1, metric)
    ridge = ridge * problem.spectrum.largest / max(problem.spectrum.unit, np.finfo(float).tiny)
    step = head_at(ridge, problem, np.zeros_like(gradient))
    return step, problem.spectrum.effective_dof(ridge)


def _round(
    found: _Samples, wanted: Float[np.ndarray, " p"], replicas: int, step: float, kept: bool
) -> Round:
    spread = np.sqrt(np.maximum(np.diag(found.covariance), 1e-300))
    gradient = float(np.sqrt(np.mean(((wanted - found.mean) / spread) ** 2)))
    return Round(found.failures, replicas, gradient, step, kept)


def _sample(
    model: Checkpoint,
    data: Dataset,
    temperature: float,
    settings: StabilitySettings,
    monitor: Monitor,
) -> _Samples:
    """Mean and covariance of φ under the dynamics of a head; frames of survivors of each burst."""
    masses = initial.masses(data.atomic_numbers)
    steps = max(RECORDED, round(BURST / settings.timestep))
    plan = MDSettings(
        replicas=settings.replicas,
        steps=steps,
        timestep=settings.timestep,
        temperature=temperature,
        record_every=max(1, steps // RECORDED),
    )
    frames, _ = initial.pick_frames(len(data), settings.replicas, settings.seed)
    origin = x = data.positions[frames]
    failed, values = np.zeros(len(frames), bool), []
    linear = initial.is_linear(data.positions)
    for burst in range(max(1, round(settings.picoseconds * 1e3 / BURST))):
        momenta = initial.thermal_momenta(x, masses, temperature, settings.seed + burst, linear)
        state = started(x, momenta, 1)
        chunks = list(simulate({"kl": model}, data, plan, cancel=monitor.cancel, resume_from=state))
        monitor.stop_if_cancelled("the descent on the relative entropy")
        fell = chunks[-1].failed_step[0] >= 0
        recorded = np.concatenate(
            [chunk.positions[0] for chunk in chunks if chunk.positions is not None], axis=1
        )
        found = _descriptors(model, data.atomic_numbers, recorded.reshape(-1, *x.shape[1:]))
        values.append(found.reshape(*recorded.shape[:2], -1)[~fell].reshape(-1, found.shape[-1]))
        failed |= fell
        # A failed replica starts again where it began, and stays counted.
        x = np.where(fell[:, None, None], origin, recorded[:, -1])
    found = np.concatenate(values)
    if len(found) < 2:
        size = len(model.head)
        return _Samples(np.zeros(size), np.zeros((size, size)), int(failed.sum()))
    return _Samples(found.mean(axis=0), np.cov(found, rowvar=False), int(failed.sum()))


def _descriptors(
    model: Checkpoint, atomic_numbers: np.ndarray, positions: Float[np.ndarray, "samples atoms 3"]
) -> Float[np.ndarray, "samples p"]:
    params = as_precision(model.potential, model.body, model.potential.precisions[0])
    numbers, x = jnp.asarray(atomic_numbers), jnp.asarray(positions)
    found = _values(model.potential, model.form, params, model.head_basis, numbers, x)
    return np.asarray(found, np.float64)


@functools.partial(jax.jit, static_argnames=("potential", "form"))
def _values(
    potential: Potential,
    form: HeadForm,
    params: Parameters,
    basis: Float[Array, "features r"] | None,
    atomic_numbers: Array,
    positions: Float[Array, "frames atoms 3"],
) -> Float[Array, "frames p"]:
    phi = Descriptors(form, basis, atomic_numbers)
    features = potential.features(params, atomic_numbers, positions).features
    return phi.values(phi.carried(features))
