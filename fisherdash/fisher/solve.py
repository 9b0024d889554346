"""From a checkpoint and data to a checkpoint with a re-fitted head, and a verdict on it.

The frames are divided in three at random: most are fitted, some choose the ridge, and the rest,
which neither has seen, say how good the result is. With a ridge given by the user the second
share joins the third. The Laplacians are summed along with everything else, so that every re-fit
comes with a test of the Boltzmann hypothesis on the same frames. :func:`summary` and
:func:`details` write a re-fit down for scripts.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher import labels
from fisherdash.fisher.diagnostics import GROUPS, Boltzmann, boltzmann_test
from fisherdash.fisher.entropy import descend_entropy
from fisherdash.fisher.moments import Metric, Moments, accumulate, displaced
from fisherdash.fisher.refit import Prepared, Refit, divide
from fisherdash.fisher.ridge import Choice
from fisherdash.fisher.stability import StabilityCheck, candidates, check_stability
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm, joint_basis
from fisherdash.potentials.potential import (
    OnceDifferentiable,
    Parameters,
    Potential,
    as_precision,
)
from fisherdash.reference import Labeller, labeller_of
from fisherdash.settings import Options, most_directions

HELD_OUT_GROUPS = 10
DIRECTION_FRAMES = 64
DIRECTION_PROBES = 16


def solve(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: Options | None = None,
    *,
    labeller: Labeller | None = None,
    labelled: Dataset | None = None,
    monitor: Monitor = UNWATCHED,
) -> Refit:
    """Re-fits the head of ``checkpoint`` to ``dataset``.

    Args:
        checkpoint: the model; its head is the centre of the ridge.
        dataset: frames with forces.
        options: of the re-fit.
        labeller: of the frames that the options ask to be labelled; that of the data where the
            data say which it is, if None.
        labelled: frames that were labelled elsewhere, some frames of the data among them.
        monitor: told the share done of each stage ("solving", "labelling", "sampling the model"
            or "checking stability"); stops it.

    Raises:
        InputError: for too few frames, an unknown element, the Laplacian way without a
            temperature, a rule that needs forces without them, labels of another potential, or
            when cancelled.
    """
    options = options or Options()
    if labelled is not None:
        options.check_labels()
        labels.of_file(dataset, labelled)  # what is wrong with them is told before the long pass
    if options.labels and labeller is None:
        labeller = labeller_of(dataset)
    prepared = prepare(checkpoint, dataset, options, monitor=monitor)
    if labelled is not None:
        prepared = with_file(prepared, labelled, monitor)
    if options.labels:
        assert labeller is not None
        prepared = with_labels(prepared, labeller, monitor=monitor)
    if options.method == "kl":
        found = descend_entropy(
            prepared.start,
            prepared.division.fit,
            prepared.fit,
            options,
            temperature=prepared.temperature,
            metric=prepared.metric,
            monitor=monitor.of("sampling the model"),
        )
        return prepared.refit(Choice(found.ridge, "given"), entropy=found)
    choice = prepared.choose()
    if options.ridge != "stable":
        return prepared.refit(choice)
    check = try_heads(prepared, choice.ridge, monitor=monitor)
    return prepared.refit(dataclasses.replace(choice, ridge=check.ridge), check)


def prepare(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: Options,
    *,
    monitor: Monitor = UNWATCHED,
) -> Prepared:
    """The pass over the data; arguments and errors as for :func:`solve`."""
    temperature = dataset.temperature if options.temperature is None else options.temperature
    _check(checkpoint, dataset, options, temperature)
    if isinstance(checkpoint.potential, OnceDifferentiable):
        options = dataclasses.replace(options, test_boltzmann=False)
    division = divide(dataset, options)
    start = widened(checkpoint, division.fit, options)
    noise = options.noise_frames if options.noisy else 0
    total = len(division.fit) + len(division.ridge) + noise

    def pass_over(frames: int, done: int) -> Monitor:
        """For a pass over some frames, ``done`` frames having been seen before it."""
        return monitor.of("solving").part(done / total, (done + frames) / total)

    def sums(part: Dataset, done: int, groups: int) -> tuple[Moments, ...]:
        """One pass over frames; ``done`` frames have been seen before."""
        return accumulate(
            start,
            part,
            groups=groups,
            laplacian=options.laplacians,  # of the held-out frames too: one program to compile
            probes=options.probes,
            seed=options.seed + done,
            precision=options.precision,
            monitor=pass_over(len(part), done),
        )

    groups = sums(division.fit, 0, GROUPS)
    held_out = sums(division.ridge, len(division.fit), HELD_OUT_GROUPS)
    return Prepared(
        checkpoint=checkpoint,
        start=start,
        dataset=dataset,
        options=options,
        temperature=temperature,
        division=division,
        groups=groups,
        held_out=held_out,
        boltzmann=_test(groups, start, temperature, options.seed),
        metric=_noise_metric(start, division.fit, options, pass_over(noise, total - noise)),
    )


def _noise_metric(
    start: Checkpoint, fit: Dataset, options: Options, monitor: Monitor
) -> Metric | None:
    """T_σ of displaced frames of ``fit``; None for the identity."""
    if not options.noisy:
        return None
    x, usual = displaced(fit.positions, options, options.noise_frames), None
    if options.ridge_metric == "weighted noise":
        near = fit.subset(np.arange(min(options.noise_frames, len(fit))))
        usual = float(np.mean(predict(start, near)[1] ** 2))
    return Metric.accumulate(
        start, fit.atomic_numbers, x, usual=usual, precision=options.precision, monitor=monitor
    )


def _check(
    checkpoint: Checkpoint, dataset: Dataset, options: Options, temperature: float | None
) -> None:
    """InputError where this model cannot be fitted to these data in the way that is asked for."""
    if options.method == "laplacian" and temperature is None:
        raise InputError(
            "the Laplacian way needs the temperature of the frames, which these data do not give; "
            "give it in K"
        )
    checkpoint.check_head()
    checkpoint.check_elements(dataset.atomic_numbers)
    if options.method == "laplacian" and isinstance(checkpoint.potential, OnceDifferentiable):
        raise InputError(
            f"{checkpoint.name} is evaluated by another library, which gives no second "
            "derivatives; the Laplacian way needs them: take --method forces"
        )


def with_file(prepared: Prepared, file: Dataset, monitor: Monitor = UNWATCHED) -> Prepared:
    """The same with frames that were labelled elsewhere; errors as of :func:`labels.of_file`."""
    data, options = prepared.division.fit, prepared.options
    found, frames = labels.of_file(prepared.dataset, file)
    found = labels.add(
        found,
        labels.FILE,
        frames,
        prepared.start,
        data,
        options,
        asked=len(frames),
        monitor=monitor,
    )
    return dataclasses.replace(prepared, labels=found)


def with_labels(
    prepared: Prepared,
    labeller: Labeller,
    *,
    monitor: Monitor = UNWATCHED,
) -> Prepared:
    """The same with the frames that its options ask for, labelled.

    First the displaced frames; then round after round of dynamics of the head that all labels
    before it give. Raises InputError for a labeller of another potential, or when cancelled.
    """
    options, data = prepared.options, prepared.division.fit
    monitor = monitor.of("labelling")
    own = labels.begin(data, labeller, monitor)  # it is compared with the data in any case
    found = own if prepared.labels is None else prepared.labels.also_by(own.labeller)
    rounds = options.label_rounds if options.label_dynamics else 0
    total = bool(options.label_displaced) + rounds

    def half(done: float) -> Monitor:
        """For half a round, so many rounds having been done before it."""
        return monitor.part(done / total, (done + 0.5) / total)

    def added(kind: str, x: np.ndarray, failing: np.ndarray | None, done: float) -> labels.Labels:
        """The labels with these frames, labelled now."""
        frames, sound = labels.labelled_by(labeller, data.atomic_numbers, x, monitor=half(done))
        kept = None if failing is None else failing[sound]
        fitted = (prepared.start, data, options)
        return labels.add(found, kind, frames, *fitted, asked=len(x), failing=kept, monitor=monitor)

    monitor.tell(0.0)
    if options.label_displaced:
        x = displaced(data.positions, options, options.label_displaced, labels.STREAM)
        found = added(labels.DISPLACED, x, None, 0.5)
    for number in range(rounds):
        done = total - rounds + number
        now = dataclasses.replace(prepared, labels=found)
        choice = now.choose()
        model = now.checkpoint_at(choice.ridge, choice.rule)
        x, failing = labels.own_dynamics(model, data, options, number, monitor=half(done))
        found = added(labels.DYNAMICS, x, failing, done + 0.5)
    return dataclasses.replace(prepared, labels=found)


def widened(checkpoint: Checkpoint, dataset: Dataset, options: Options) -> Checkpoint:
    """The same energies with a head of the form that the options ask for, or wider if it is so.

    A quadratic head whose features are reduced already keeps its principal directions, and gains
    others where ``reduce`` was given.
    """
    elements = tuple(sorted(set(map(int, dataset.atomic_numbers))))
    asked = HeadForm(options.head, () if options.head == "shared" else elements)
    form, features = checkpoint.form.covering(asked), checkpoint.potential.num_features
    if form.kind != "quadratic":
        if options.reduce is not None:
            raise InputError(
                f"reduce is for the products of a quadratic head, received {options.reduce} for "
                f"the head {options.head!r}; leave it out, or ask for a quadratic head"
            )
        return checkpoint.in_form(form)
    quadratic, own = checkpoint.form.kind == "quadratic", checkpoint.head_basis
    wanted = options.reduce or most_directions(len(form.elements), features)
    basis = own
    if (not quadratic and wanted < features) or (own is not None and options.reduce):
        directions = principal_directions(checkpoint, dataset, options.seed)[:, :wanted]
        basis = directions if own is None else joint_basis([own, directions], features)
        basis = None if wanted >= features else basis
    form = dataclasses.replace(form, reduce=0 if basis is None else basis.shape[1])
    return checkpoint.in_form(form, basis)


def principal_directions(
    checkpoint: Checkpoint, dataset: Dataset, seed: int
) -> Float[np.ndarray, "features features"]:
    """Orthonormal directions of the features, those along which they change most first.

    Eigenvectors of E[Σ_i Σ_x ∂h_i/∂x (∂h_i/∂x)ᵀ] as columns, estimated from random directions in
    space, of which the mean of vvᵀ is the identity.
    """
    rng = np.random.default_rng([seed, 23])
    chosen = np.sort(rng.permutation(len(dataset))[:DIRECTION_FRAMES])
    x = dataset.positions[chosen]
    probes = rng.choice([-1.0, 1.0], size=(DIRECTION_PROBES, *x.shape))
    params = as_precision(checkpoint.potential, checkpoint.body, checkpoint.potential.precisions[0])
    spread = _spread_of_features(
        checkpoint.potential, params, dataset.atomic_numbers, jnp.asarray(x), jnp.asarray(probes)
    )
    _, vectors = np.linalg.eigh(np.asarray(spread, np.float64))
    return vectors[:, ::-1]


@functools.partial(jax.jit, static_argnames="potential")
def _spread_of_features(
    potential: Potential, params: Parameters, atomic_numbers: Array, x: Array, probes: Array
) -> Float[Array, "features features"]:
    def features(x: Array) -> Array:
        """h of all atoms."""
        return potential.features(params, atomic_numbers, x, forward_mode=True).features

    _, push = jax.linearize(features, x)

    def of(direction: Array) -> Array:
        """Products of the slopes along one direction."""
        slopes = push(direction).astype(jnp.float64)
        return jnp.einsum("naf,nag->fg", slopes, slopes)

    return jnp.sum(jax.lax.map(of, probes), axis=0)


def try_heads(
    prepared: Prepared,
    best: float,
    *,
    monitor: Monitor = UNWATCHED,
) -> StabilityCheck:
    """Short dynamics of points of the path from ``best`` on, beside the default head."""
    settings = prepared.options.stability
    points = candidates(prepared.path, best, settings.points)
    return check_stability(
        {point.ridge: prepared.checkpoint_at(point.ridge, "stable") for point in points},
        {point.ridge: point.divergence for point in points},
        prepared.checkpoint,
        prepared.dataset,
        settings,
        monitor=monitor.of("checking stability"),
    )


def _test(
    groups: tuple[Moments, ...], start: Checkpoint, temperature: float | None, seed: int
) -> Boltzmann | None:
    """None where an untrained network has no curvature to measure a temperature with."""
    if sum(len(group.parts) for group in groups) < GROUPS or not np.any(start.head):
        return None
    if not all(group.laplacian is not None and np.any(group.laplacian) for group in groups):
        return None
    linear = start.form.linear(start.potential.num_features)
    return boltzmann_test(groups, start.head, temperature, seed, linear)


def summary(refit: Refit) -> dict[str, Any]:
    """The promised keys; divergence and errors are those on held-out frames, units in the names.

    Beside a wider head, "report" stands in the mappings for the published report's own.
    """
    test = refit.boltzmann
    boltzmann = test and {
        "temperature_K": test.temperature,
        "temperature_stderr_K": test.stderr,
        "consistent": test.consistent,
    }
    found = refit.prepared.labels
    return {
        "method": refit.prepared.options.method,
        "ridge": refit.ridge,
        "condition_number": refit.condition_number,
        "effective_rank": refit.effective_rank,
        "head_norm": refit.beside("head_norm"),
        "fisher_divergence": refit.beside("fisher_divergence"),
        "force_rmse_eV_per_A": refit.beside("force_rmse"),
        "boltzmann": boltzmann,
        "kl_eV": refit.kl and {name: found.value for name, found in refit.beside("kl").items()},
        "head": refit.prepared.options.head,
        "metric": refit.prepared.options.ridge_metric,
        "labels": {
            kind: found.count(kind) if found else 0 for kind in (labels.DISPLACED, labels.DYNAMICS)
        },
        "labelled": found and found.to_json(),
    }


def details(refit: Refit) -> dict[str, Any]:
    """The other results, JSON-able.

    How sure the choice of the ridge is, the posterior, the path, the spectrum, the head's weights,
    the temperature of each descriptor, and the runs behind a stability-aware choice.
    """
    choice, test, spread = refit.choice, refit.boltzmann, refit.posterior
    own = refit.report_head
    fitted, chose, reported = refit.frames
    return {
        "verdict": refit.verdict,
        "warnings": refit.warnings,
        "frames": {"fit": fitted, "ridge": chose, "report": reported},
        "energy_rmse_eV": refit.energy_rmse,
        "force_rmse_change": refit.force_change.to_json(),
        "ridge_rule": choice.rule,
        "ridge_interval": None if choice.low is None else [choice.low, choice.high],
        "kl_effective_frames": refit.kl
        and {name: found.effective_frames for name, found in refit.kl.items()},
        "posterior": spread
        and {
            "force_stderr_eV_per_A": spread.force_stderr,
            "half_difference_eV_per_A": spread.half_difference,
            "half_cosine": spread.half_cosine,
            "scale": spread.scale,
        },
        "boltzmann_descriptors": test
        and {
            "temperature_K": test.per_descriptor,
            "stderr_K": test.per_descriptor_stderr,
            "p_value": test.p_descriptors,
        },
        "stability": _stability(refit),
        "relative_entropy": refit.entropy
        and {
            "picoseconds": refit.entropy.picoseconds,
            "temperature_K": refit.entropy.temperature,
            "rounds": [dataclasses.asdict(one) for one in refit.entropy.rounds],
        },
        "descent": refit.descent
        and {
            "steps": refit.descent.steps,
            "distance": refit.descent.distance,
            "excess_eV2_per_A2": refit.descent.excess,
            "converged": refit.descent.converged,
        },
        "eigenvalues": refit.eigenvalues,
        "head": {"default": refit.prepared.start.head, "fisher": refit.checkpoint.head},
        "path": [dataclasses.asdict(point) for point in refit.path],
        "report_head": own
        and {
            "verdict": own.verdict,
            "ridge": own.ridge,
            "head": own.checkpoint.head,
            "force_rmse_change": own.force_change.to_json(),
            "energy_rmse_eV": own.energy_rmse,
        },
    }


def _stability(refit: Refit) -> dict[str, Any] | None:
    check = refit.stability
    return check and {
        "picoseconds": check.picoseconds,
        "temperature_K": check.temperature,
        "confirmed": check.confirmed if check.confirmation else None,
        "tried": [one.to_json() for one in check.tried],
        "confirmation": [one.to_json() for one in check.confirmation],
    }
