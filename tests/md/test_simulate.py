"""The room as a whole, with the real network: groups, precision, starts and refusals."""

import dataclasses
import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.md import (
    Group,
    MDSettings,
    Setting,
    engine,
    initial,
    simulate,
    start,
)
from fisherdash.md import (
    run as run_groups,
)
from fisherdash.md.engine import group_checkpoints
from fisherdash.md.initial import relax
from fisherdash.md.simulate import Call, _Clock
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm
from tests import networks
from tests.md import force_fields as ff

# Functions, so that reading this file computes nothing.
net_a = functools.partial(networks.checkpoint, 0)
other_head = functools.partial(networks.checkpoint, 0, 1e-5)
net_b = functools.partial(networks.checkpoint, 1)
SETTINGS = MDSettings(replicas=3, steps=60, temperature=300.0, record_every=20, chunk=4)


def _run(checkpoints, settings=SETTINGS):
    return list(simulate(checkpoints, networks.water(), settings))[1:]


def _energy_error(chunks):
    total = ff.joined(chunks, "potential") + ff.joined(chunks, "kinetic")
    return total - total[..., :1]


@pytest.mark.slow
@pytest.mark.parametrize("others", [(net_a, other_head), (net_a, net_b)], ids=["heads", "bodies"])
def test_together_is_the_same_as_apart(others):
    """Two heads of one body as one flat batch, and two bodies mapped over.

    In double precision: in single, trajectories that differ by rounding alone soon part.
    """
    others = [make() for make in others]
    exact = dataclasses.replace(SETTINGS, precision="float64")
    together = _run(dict(zip("xy", others, strict=True)), exact)
    assert np.abs(together[-1].state.forces).max() > 0.1
    for index, checkpoint in enumerate(others):
        alone = _run({"x": checkpoint}, exact)
        for name in ("potential", "kinetic", "positions", "velocities"):
            np.testing.assert_allclose(
                ff.joined(together, name)[index], ff.joined(alone, name)[0], atol=1e-7
            )
        np.testing.assert_allclose(
            together[-1].state.positions[index], alone[-1].state.positions[0], atol=1e-9
        )
    apart = together[-1].state.positions
    assert np.abs(apart[0] - apart[1]).max() > 1e-3  # the two are not the same force field


@pytest.mark.slow
def test_single_precision_network_under_a_double_precision_state():
    """The round-off of the network stays far below the error of the time step."""
    heads = {"x": other_head(), "y": networks.checkpoint(0, 1e-4)}
    settings = dataclasses.replace(SETTINGS, steps=1500, timestep=0.5, replicas=4)
    mixed = _run(heads, settings)
    exact = _run(heads, dataclasses.replace(settings, precision="float64"))
    start = [np.abs(run[0].state.forces) for run in (mixed, exact)]
    assert 0 < np.abs(start[0] - start[1]).max() < 1e-4 * start[1].max()  # float32 forces, indeed
    for run in (mixed, exact):
        assert run[-1].state.positions.dtype == np.float64
        assert np.all(run[-1].failed_step < 0)
    early = slice(0, 4)  # later the trajectories part, as all chaotic ones do
    difference = _energy_error(mixed)[..., early] - _energy_error(exact)[..., early]
    spread = [np.std(_energy_error(run), axis=2).mean() for run in (mixed, exact)]
    assert np.abs(difference).max() < 0.1 * spread[1]
    assert spread[0] == pytest.approx(spread[1], rel=0.1)
    assert spread[1] > 1e-3


def test_groups_are_as_few_as_possible_and_keep_their_order():
    other = networks.checkpoint(0, 1e-5, networks.OTHER_CONFIG)
    same_arrays = dataclasses.replace(net_a(), body=dict(net_a().body), name="equal, not identical")
    checkpoints = {"a": net_a(), "b": net_b(), "other": other, "a2": same_arrays, "b2": net_b()}
    groups = group_checkpoints(checkpoints, networks.WATER, "float32")
    assert [group.names for group in groups] == [("a", "a2", "b", "b2"), ("other",)]
    assert [group.indices for group in groups] == [(0, 3, 1, 4), (2,)]
    assert [group.bodies for group in groups] == [2, 1]
    again = group_checkpoints({"q": net_b(), "r": net_a()}, networks.WATER, "float32")
    once_more = group_checkpoints({"s": net_a(), "t": net_b()}, networks.WATER, "float32")
    assert again[0].force_field == once_more[0].force_field
    assert hash(again[0].force_field) == hash(once_more[0].force_field)


def test_a_head_by_element_runs_beside_the_shared_one():
    split = net_a().by_element(networks.WATER)
    together = {"shared": net_a(), "by element": split}
    (group,) = group_checkpoints(together, networks.WATER, "float32")
    assert group.bodies == 1
    assert group.force_field.form.elements == (1, 8)
    potential = ff.joined(_run(together), "potential")
    # Products over elements add in another order on some processors.
    np.testing.assert_allclose(potential[0], potential[1], rtol=0, atol=2e-3)
    assert np.ptp(potential[0]) > 0.1


@pytest.mark.slow
def test_heads_of_all_forms_run_beside_one_another():
    """Two quadratic ones with different principal directions, and a shared one, on one body."""
    rng, wide = np.random.default_rng(3), {}
    for name in ("x", "y"):
        basis = np.linalg.qr(rng.normal(size=(16, 2)))[0]
        one = net_a().in_form(HeadForm("quadratic", (1, 8), 2), basis)
        head = one.head + np.append(np.zeros(32), 1e-3 * rng.normal(size=6))
        wide[name] = one.with_head(head, one.element_bias, name, {})
    checkpoints = {"shared": net_a(), "other body": net_b()} | wide
    groups = group_checkpoints(checkpoints, networks.WATER, "float64")
    assert [group.names for group in groups] == [("shared", "x", "y"), ("other body",)]
    assert groups[0].force_field.form == HeadForm("quadratic", (1, 8), 4)
    positions = np.tile(networks.water().positions[:5], (4, 1, 1, 1))
    for group in groups:
        evaluate = jax.jit(group.force_field)
        heads = len(group.names)
        energies, forces = evaluate(group.params, positions[:heads], np.ones((heads, 5), bool))
        for name, energy, force in zip(group.names, energies, forces, strict=True):
            data = networks.water().subset(np.arange(5))
            alone = predict(networks.exact(checkpoints[name]), data)
            np.testing.assert_allclose(energy, alone[0], rtol=1e-10)
            np.testing.assert_allclose(force, alone[1], rtol=1e-9, atol=1e-10)


def test_a_quadratic_head_conserves_the_energy_to_second_order():
    head = net_a().in_form(HeadForm("quadratic", (1, 8)))
    bent = head.head.copy()
    bent[32:] = 1e-3 * np.random.default_rng(4).normal(size=len(bent) - 32)
    model = head.with_head(bent, head.element_bias, "bent", {})
    spread = []
    for timestep in (0.4, 0.2):
        settings = dataclasses.replace(
            SETTINGS, precision="float64", timestep=timestep, steps=round(60 / timestep),
            record_every=1, chunk=64,
        )  # fmt: skip
        spread.append(np.std(_energy_error(_run({"bent": model}, settings))))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("replicas", [3, 24])  # in one block of frames and in two
def test_a_neighbour_that_explodes_changes_no_bit_of_the_others(replicas):
    data = networks.water()
    squeezed = data.positions.copy()
    squeezed[:, 1] = squeezed[:, 0] + [0.55, 0.0, 0.0]  # a bond at half its length flies apart
    settings = dataclasses.replace(SETTINGS, steps=200, replicas=replicas)

    def run(frames):
        chosen = Dataset(frames, data.energies[:replicas], data.forces[:replicas], networks.WATER)
        return list(simulate({"x": net_a(), "y": other_head()}, chosen, settings))[1:]

    calm, mixed = data.positions[:replicas], data.positions[:replicas].copy()
    mixed[1::2] = squeezed[1:replicas:2]
    healthy, exploding = run(calm), run(mixed)
    failed = exploding[-1].failed_step >= 0
    doomed = np.any(failed, axis=0)
    assert doomed.sum() == replicas // 2 and np.array_equal(failed[0], doomed)
    assert np.all(healthy[-1].failed_step < 0)
    for name in ("potential", "kinetic", "positions", "velocities"):
        assert np.array_equal(
            ff.joined(healthy, name)[:, ~doomed], ff.joined(exploding, name)[:, ~doomed]
        )


@pytest.mark.slow
def test_a_relaxed_start_is_a_minimum_and_ends_at_half_the_temperature():
    settings = MDSettings(
        replicas=24, steps=400, temperature=300.0, start="relaxed", record_every=4, seed=3
    )
    run = list(simulate({"x": net_a(), "y": other_head()}, networks.water(), settings))
    assert "minimum" in run[0].notes[0]
    first = run[1]
    assert np.all(first.state.positions == first.state.positions[0, 0])
    assert np.abs(first.state.forces[0]).max() < 5e-3  # of the first checkpoint, in float32
    kinetic = ff.joined(run, "kinetic")[0]
    assert np.nanmean(kinetic[:, 30:]) == pytest.approx(0.5 * kinetic[:, 0].mean(), rel=0.15)


def test_relaxing_finds_the_minimum_of_a_morse_chain():
    def potential(x):
        energies, forces = ff.MorseChain()(np.array([4.0]), x[None, None])
        return float(energies[0, 0]), np.asarray(forces[0, 0])

    positions, left = relax(ff.Ase(potential), ff.CARBON, ff.chain(1)[0][0])
    assert left < 1e-3
    near = np.linalg.norm(positions[1:] - positions[:-1], axis=-1)
    far = np.linalg.norm(positions[2:] - positions[:-2], axis=-1)
    np.testing.assert_allclose(near, 1.5, atol=1e-3)
    np.testing.assert_allclose(far, 2.5, atol=1e-3)


def test_relaxing_in_a_potential_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="not finite while relaxing"):
        relax(ff.Ase(lambda x: (np.nan, np.zeros_like(x))), ff.CARBON, ff.chain(1)[0][0])


def test_what_was_decided_about_the_start_is_said():
    first = next(simulate({"x": net_a()}, networks.water(), SETTINGS))
    assert (first.stage, len(first.times), int(first.state.step)) == ("compiling", 0, -1)
    assert first.notes == ("3 distinct frames out of 60, drawn at random",)
    hot = dataclasses.replace(SETTINGS, temperature=900.0, replicas=100)
    notes = next(simulate({"x": net_a()}, networks.water(), hot)).notes
    assert "only 60 frames" in notes[0] and "300 K" in notes[1] and "900 K" in notes[1]


def test_unusable_input_is_refused_before_anything_runs():
    data = networks.water()
    with pytest.raises(InputError, match="at least one checkpoint"):
        simulate({}, data, SETTINGS)
    ignorant = dataclasses.replace(net_a(), elements=(1,))
    with pytest.raises(InputError, match="never trained on"):
        simulate({"x": ignorant}, data, SETTINGS)
    state = _run({"x": net_a()})[-1].state
    with pytest.raises(InputError, match="nothing is left to do: the run is at step 60 of 60"):
        simulate({"x": net_a()}, data, SETTINGS, resume_from=state)
    longer = dataclasses.replace(SETTINGS, steps=80)
    with pytest.raises(InputError, match="resume_from must hold positions"):
        simulate({"x": net_a(), "y": net_b()}, data, longer, resume_from=state)


def test_a_finished_run_can_be_made_longer():
    longer = dataclasses.replace(SETTINGS, steps=100)
    state = _run({"x": net_a()})[-1].state
    rest = list(simulate({"x": net_a()}, networks.water(), longer, resume_from=state))
    whole = _run({"x": net_a()}, longer)
    assert ff.joined(rest, "times", 0).tolist() == [40.0, 50.0]
    assert np.array_equal(rest[-1].state.positions, whole[-1].state.positions)
    assert np.array_equal(rest[-1].potential[..., -1], whole[-1].potential[..., -1])


MASSES = initial.masses(ff.CARBON)
ENERGIES_AND_FRAMES = ("potential", "kinetic", "positions", "velocities")


@pytest.mark.parametrize("steps", [40, 43])
def test_the_way_into_chunks_changes_no_bit_and_the_last_part_is_exact(steps, monkeypatch):
    positions, momenta = ff.chain(3)
    rest = lambda step, *_: 1 if step < 0 else steps - step  # noqa: E731
    monkeypatch.setattr(engine, "steps_of_next_call", rest)
    whole = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=64)
    monkeypatch.setattr(engine, "steps_of_next_call", lambda step, *_: 1)
    single = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=2)
    due = [0, 10, 20, 30, 40] + [43] * (steps == 43)
    assert len(single) == 1 + len(due)  # a chunk a frame, each from ten calls
    assert len(whole) == 3  # compiling, the start, and all the rest in one call
    for chunks in (whole, single):
        assert chunks[-1].step == steps
        np.testing.assert_allclose(ff.joined(chunks, "times", 0), np.array(due) * 0.5)
    for name in ENERGIES_AND_FRAMES:
        assert np.array_equal(ff.joined(whole, name), ff.joined(single, name))
    for a, b in zip(whole[-1].state, single[-1].state, strict=True):
        assert np.array_equal(a, b)


def test_cancel_keeps_what_was_done_and_a_resumed_run_is_the_uninterrupted_one():
    positions, momenta = ff.chain(3)
    state, cancel = start(positions, momenta, 1), threading.Event()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.CHAIN_BONDS, 6)
    settings = MDSettings(replicas=3, steps=2000, record_every=5, chunk=4)
    whole = list(run_groups([group], state, setting, settings))

    done = []
    for chunk in run_groups([group], state, setting, settings, cancel):
        done.append(chunk)
        if chunk.step >= 100:
            cancel.set()
    assert 100 <= done[-1].step < 400
    rest = list(run_groups([group], done[-1].state, setting, settings))
    assert rest[1].times[0] > done[-1].times[-1]
    for name in (*ENERGIES_AND_FRAMES, "times"):
        axis = 0 if name == "times" else 2
        assert np.array_equal(ff.joined(done + rest, name, axis), ff.joined(whole, name, axis))


def test_cancelled_before_it_begins():
    positions, momenta = ff.chain(1)
    cancel = threading.Event()
    cancel.set()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.NO_BONDS, 6)
    chunks = list(run_groups([group], start(positions, momenta, 1), setting, MDSettings(1), cancel))
    assert [chunk.stage for chunk in chunks] == ["compiling"]


@dataclasses.dataclass(frozen=True)
class Traced(ff.MorseChain):
    """Notes the shape of its positions whenever it is traced for a compilation."""

    shapes: list = dataclasses.field(default_factory=list, compare=False)

    def __call__(self, params, positions, moves):
        self.shapes.append(positions.shape)
        return super().__call__(params, positions, moves)


def test_a_second_run_compiles_nothing():
    field = Traced()
    positions, momenta = ff.chain(2)
    ff.trajectory(positions, momenta, steps=30, force_field=field)
    traced = list(field.shapes)
    assert {shape[1] for shape in traced} == {2}
    how = {"params": np.array([3.0]), "timestep": 0.7, "record_every": 3}
    ff.trajectory(positions + 0.01, momenta, steps=77, force_field=field, **how)
    assert field.shapes == traced
    ff.trajectory(positions[:1], momenta[:1], steps=5, force_field=field)
    assert {shape[1] for shape in field.shapes[len(traced) :]} == {1}


def test_calls_end_at_frames_or_are_parts_of_the_way_to_one():
    rng = np.random.default_rng(0)
    for _ in range(300):
        every, capacity, steps = (int(rng.integers(1, most)) for most in (30, 6, 500))
        step = -1
        while step < steps:
            affordable = float(rng.uniform(0.0, 200.0))
            count = engine.steps_of_next_call(step, steps, every, capacity, affordable)
            end = step + count
            assert count >= 1 and end <= steps
            first, last = engine.frame_of(step + 1, every), engine.frame_of(end, every)
            assert last - first < capacity
            assert end % every == 0 or end == steps or last == first
            assert step < 0 or count <= max(affordable, 1) or end == steps
            step = end
        assert step == steps


def test_an_affordable_call_of_many_frames_is_used():
    assert engine.steps_of_next_call(-1, 5000, 10, 64, 1000.0) == 1
    assert engine.steps_of_next_call(0, 5000, 10, 64, 255.0) == 250
    assert engine.steps_of_next_call(0, 5000, 10, 8, 255.0) == 80
    assert engine.steps_of_next_call(10, 5000, 1000, 8, 255.0) == 255
    assert engine.steps_of_next_call(4990, 4997, 10, 8, 255.0) == 7


def test_calls_that_are_over_at_once_tell_the_speed() -> None:
    """Another library is not queued: every call is done before the clock looks at it."""
    clock, results = _Clock(), [jnp.zeros(2)]
    for call, speed in (
        (Call(1, 10, results, dispatched=100.0, done=102.0), 5.0),
        (Call(11, 40, results, dispatched=103.0, done=104.0), 30.0),
        (Call(41, 99, results, dispatched=104.0), 30.0),  # its end was not seen
    ):
        clock.wait(call)
        assert clock.speed == speed
