"""The learning curve: nested draws, other frames to test on, and an error that has to fall."""

import functools
import json
import threading

import numpy as np
import pytest

from fisherdash import tasks
from fisherdash.__main__ import main
from fisherdash.dataset import save
from fisherdash.errors import InputError
from fisherdash.fisher import curve, solve
from fisherdash.fisher.curve import DRAWS, learning_curve, parts, sizes
from fisherdash.monitor import Monitor
from fisherdash.potentials import checkpoint
from fisherdash.potentials.evaluate import evaluate
from fisherdash.settings import Options
from fisherdash.workspace.jobs import JobProgress
from tests.randomised import planted_dataset, random_checkpoint

PLAIN = Options(head="shared", ridge=1e-6, metric="identity", test_boltzmann=False)
START = random_checkpoint(seed=1)


@functools.cache
def planted_data():
    """Frames of another network, whose head no re-fit of START's body finds."""
    return planted_dataset(random_checkpoint(seed=9), 100)


def test_sets_double_and_the_last_one_is_all_there_is():
    assert sizes(100) == [10, 20, 40, 100] and sizes(10) == [10] and sizes(14) == [10, 14]
    assert sizes(1000)[-3:] == [320, 640, 1000]


def test_tested_frames_are_not_fitted_and_are_those_that_no_training_had():
    seen = np.zeros(100, bool)
    seen[:70] = True
    fit, test, known = parts(planted_data(), 3, seen)
    assert (len(fit), len(test), known) == (80, 20, 0)
    among = {one.tobytes() for one in fit.positions}
    assert not among & {one.tobytes() for one in test.positions}
    unseen = {one.tobytes() for one in planted_data().positions[70:]}
    assert {one.tobytes() for one in test.positions} <= unseen
    assert parts(planted_data(), 3, ~np.zeros(100, bool))[2] == 20  # there are no others
    with pytest.raises(InputError, match="needs at least 25 frames"):
        parts(planted_data().subset(np.arange(24)), 0, np.zeros(24, bool))


@pytest.mark.slow
def test_every_point_is_a_re_fit_of_that_many_frames_and_errors_fall(monkeypatch):
    given = []

    def told(model, data, options, **more):
        given.append({one.tobytes() for one in data.positions})
        return solve(model, data, options, **more)

    monkeypatch.setattr(curve, "solve", told)
    fit, test, _ = parts(planted_data(), 0, np.zeros(100, bool))
    *_, found = learning_curve(START, fit, test, PLAIN)
    assert [one.frames for one in found.points] == [10, 20, 40, 80]
    assert [len(one.errors) for one in found.points] == [DRAWS] * 3 + [1]
    for draw in range(DRAWS):  # the smaller within the larger
        nested = [given[draw], given[DRAWS + draw], given[2 * DRAWS + draw]]
        assert nested[0] < nested[1] < nested[2]
    assert given[0] != given[1]
    whole = solve(START, fit, PLAIN).checkpoint
    assert found.points[-1].errors == (evaluate(whole, test).force_rmse,)
    assert found.default == evaluate(START, test).force_rmse
    assert found.points[-1].median < found.points[0].median < found.default


def test_it_stops_when_asked_and_takes_no_new_labels():
    fit, test, _ = parts(planted_data(), 0, np.zeros(100, bool))
    cancel, got = threading.Event(), []
    for found in learning_curve(START, fit, test, PLAIN, monitor=Monitor(cancel)):
        got.append(found)
        cancel.set()
    assert len(got) == 1 and got[0].points[0].frames == 10
    with pytest.raises(InputError, match="leave new labels out"):
        next(learning_curve(START, fit, test, Options(label_displaced=5)))


def test_the_task_says_how_far_it_is_and_refuses_another_molecule():
    task = tasks.curve(START, planted_data(), PLAIN)
    done = [task.describe(found) for found in task.work(threading.Event(), lambda _: None)]
    assert len(done) == 3 * DRAWS + 1 and done[-1].fraction == 1.0
    assert isinstance(done[0], JobProgress) and "1 of 10 re-fits, 10 frames" in done[0].detail
    other = planted_data().subset(np.arange(50))
    other = type(other)(other.positions[:, ::-1], other.energies, other.forces[:, ::-1],
                        other.atomic_numbers[::-1])  # fmt: skip
    with pytest.raises(InputError, match="in another order of atoms"):
        tasks.curve(START, planted_data(), PLAIN, other)


def test_the_shell_prints_the_curve(tmp_path, capsys):
    model, data = tmp_path / "a.safetensors", tmp_path / "d.npz"
    checkpoint.save(START, model)
    save(planted_data().subset(np.arange(40)), data)
    words = ["curve", str(model), str(data), "--head", "shared", "--metric", "identity"]
    assert main([*words, "--ridge", "1e-6", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["test_frames"] == 8 and said["test_frames_trained_on"] == 0
    assert [one["frames"] for one in said["curve"]] == [10, 20, 32]
    first = said["curve"][0]
    assert first["lowest"] <= first["force_rmse_eV_per_A"] <= first["highest"]
    assert main([*words, "--ridge", "1e-6"]) == 0
    assert "10 frames" in capsys.readouterr().out
