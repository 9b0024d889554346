"""Running a population: interrupted, extended, with a worker killed; always the same end."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import pandas as pd
import psutil
import pytest

from fisherdash import dataset, storage
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.study import (
    check_scheduler,
    open_plan,
    prepare_study,
    read_progress,
    read_spec,
    read_tables,
    run_study,
)
from fisherdash.study.tables import COLUMNS, Tables
from tests.randomised import milder, planted_dataset, random_checkpoint

pytestmark = pytest.mark.slow

SPEC = """
title = "Tiny networks"
sharpness = 0.05
together = 2
[[data]]
name = "planted"
file = "planted.npz"
valid = 6
test = 12
temperature = 500
[[models]]
frames = 20
seed = [SEEDS]
epochs = 2
batch_size = 5
features = 3
max_degree = 0
iterations = 1
basis = 4
[heads.plain]
ridge = 0
[heads.kept]
ridge = "auto"
[dynamics]
temperature = [300, 500]
timestep = 0.5
replicas = 3
picoseconds = 0.05
frames = 10
"""


CONDITION = ["model", "head", "temperature_K", "timestep_fs"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    dataset.save(planted_dataset(milder(random_checkpoint()), 60), folder / "planted.npz")
    return folder


def spec_of(home: Path, seeds: int, **changes: str):
    text = SPEC.replace("SEEDS", ", ".join(map(str, range(seeds))))
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return read_spec(text, home)


@pytest.fixture(scope="module")
def straight(home: Path) -> Path:
    """A study of four models that nothing disturbed."""
    out = home / "straight"
    last = list(run_study(spec_of(home, 4), out, workers=0))[-1]
    assert (last.models, last.done, last.failed, last.ended) == (4, 4, 0, True)
    return out


def same(first: Path, second: Path, models: set[str] | None = None) -> None:
    """The tables agree byte for byte, but for the seconds."""
    a, b = read_tables(first / "tables"), read_tables(second / "tables")
    for name in COLUMNS:
        if name == "timings":
            continue
        one, two = getattr(a, name), getattr(b, name)
        if models is not None:
            one, two = (t[t.model.isin(models)].reset_index(drop=True) for t in (one, two))
        assert len(one), name
        pd.testing.assert_frame_equal(one, two, check_exact=True, obj=name)


def test_the_tables_hold_every_model_head_and_trajectory(straight: Path) -> None:
    tables = read_tables(straight / "tables")
    plan = open_plan(straight)
    assert list(tables.models.model) == [member.name for member in plan.members]
    assert Counter(tables.heads["head"]) == {"default": 4, "plain": 4, "kept": 4}
    grid = np.linspace(0, 0.05, 11)
    assert all(np.allclose(g.time_ps, grid) for _, g in tables.curves.groupby(CONDITION))
    rows = tables.trajectories
    assert len(rows) == 4 * 3 * 2 * 3 and set(rows.temperature_K) == {300, 500}
    failed = rows.failed == 1
    assert np.all(rows.time_to_failure_ps[~failed] == rows.duration_ps[~failed]) and np.all(
        rows.time_to_failure_ps[failed] <= 0.05
    )
    assert rows.drift_meV_per_atom_per_ps[failed].isna().all()
    assert rows.drift_meV_per_atom_per_ps[~failed].notna().all()
    assert set(tables.structure.temperature_K) == {500}  # only there are the data comparable
    assert (tables.heads.sharpness_eV2 > 0).all()
    assert not list((straight / "running").glob("*"))


def test_a_head_that_kept_the_default_has_its_trajectories(straight: Path) -> None:
    tables = read_tables(straight / "tables")
    kept = tables.heads[(tables.heads["head"] == "kept") & (tables.heads.kept_default == 1)]
    for model in kept.model:
        mine = tables.trajectories[tables.trajectories.model == model]
        by = {name: rows.drop(columns="head") for name, rows in mine.groupby("head")}
        pd.testing.assert_frame_equal(
            by["kept"].reset_index(drop=True), by["default"].reset_index(drop=True)
        )


def read_log(folder: Path) -> list[dict]:
    """All lines of all processes in the order of time; a line cut off by a kill is left out."""
    lines = []
    for path in sorted((folder / "log").glob("*.jsonl")):
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return sorted(lines, key=lambda line: line["time"])


def test_finished_work_is_never_done_again(straight: Path, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.glob("members/*/*")}
    lines = len(read_log(straight))
    last = list(run_study(spec_of(home, 4), straight, workers=0))[-1]
    assert last.done == 4 and len(read_log(straight)) == lines
    assert before == {path: path.stat().st_mtime_ns for path in straight.glob("members/*/*")}


def test_an_interrupted_study_goes_on_to_the_same_end(home: Path, straight: Path) -> None:
    """Stopped after each of its first stages in turn, until nothing is left."""
    out, rounds = home / "interrupted", 0
    while True:
        cancel, stages = threading.Event(), len(_finished(out))
        watcher = threading.Thread(target=_stop_at, args=(out, stages + 1, cancel), daemon=True)
        watcher.start()
        last = list(run_study(spec_of(home, 4), out, workers=0, cancel=cancel))[-1]
        cancel.set()
        watcher.join()
        rounds += 1
        if last.done == 4:
            break
        assert last.stage == "stopped" and rounds < 30
    assert rounds > 3
    same(straight, out)


def _finished(out: Path) -> list[dict]:
    return [line for line in read_log(out) if line["event"] == "finished"]


def _stop_at(out: Path, stages: int, cancel: threading.Event) -> None:
    while not cancel.is_set() and len(_finished(out)) < stages:
        time.sleep(0.01)
    cancel.set()


def test_an_extended_study_keeps_what_it_has(home: Path, straight: Path) -> None:
    """First two models and one temperature, then all."""
    out = home / "extended"
    small = spec_of(home, 2, **{"temperature = [300, 500]": "temperature = 300"})
    assert list(run_study(small, out, workers=0))[-1].done == 2
    first = {path: path.read_bytes() for path in out.glob("members/*/training.json")}
    left = next(out.glob("members/*")) / f"{storage.PART}left.json"  # by a process killed long ago
    left.write_text("{}")
    os.utime(left, (0, 0))
    assert list(run_study(spec_of(home, 4), out, workers=0))[-1].done == 4
    assert not left.exists()
    assert first and all(path.read_bytes() == content for path, content in first.items())
    same(straight, out)


def test_another_way_to_re_fit_is_done_for_the_new_head_alone(home: Path, straight: Path) -> None:
    out = home / "straight"
    more = spec_of(home, 4, **{"[heads.kept]": "[heads.new]\nridge = 0.5\n[heads.kept]"})
    before = read_tables(out / "tables").trajectories
    assert list(run_study(more, out, workers=0))[-1].done == 4
    rows = read_tables(out / "tables").trajectories
    old = rows[rows["head"] != "new"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, before, check_exact=True)
    assert (rows["head"] == "new").sum() == 4 * 2 * 3
    list(run_study(spec_of(home, 4), out, workers=0))  # what others compare with
    assert set(read_tables(out / "tables").heads["head"]) == {"default", "plain", "kept"}


def test_a_worker_that_is_killed_costs_one_stage(home: Path) -> None:
    """Twelve models on two workers, one of them killed by SIGKILL at work."""
    here, out = home / "here", home / "killed"
    assert list(run_study(spec_of(home, 12), here, workers=0))[-1].done == 12
    killed = []

    def kill() -> None:
        while not killed:
            for pid in _busy(out):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    reports = list(run_study(spec_of(home, 12), out, workers=2))
    killer.join(timeout=1)
    assert killed, "no worker was seen at work"
    assert (reports[-1].done, reports[-1].failed) == (12, 0)
    done = Counter((line["stage"], member) for line in _finished(out) for member in line["members"])
    assert set(done.values()) == {1}, "a stage was finished twice"
    assert len(done) == 12 * 4  # training, re-fits, two temperatures
    begun = [line for line in read_log(out) if line["event"] == "started"]
    assert len(begun) > len(_finished(out)), "the kill interrupted nothing"
    same(here, out)


def _busy(out: Path) -> list[int]:
    """Processes whose last line says that they have begun something, once others have finished."""
    if not _finished(out):
        return []
    found = []
    for path in (out / "log").glob("*.jsonl"):
        lines = path.read_text().splitlines()
        if lines and '"started"' in lines[-1]:
            found.append(int(path.stem.rsplit("-", 1)[1]))
    return found


def test_too_few_frames_are_refused_before_anything_is_written(home: Path) -> None:
    out = home / "refused"
    with pytest.raises(InputError, match="at most 42 are left"):
        run_study(spec_of(home, 1, **{"frames = 20": "frames = 43"}), out)
    assert not out.exists()


def test_a_folder_of_other_frames_is_refused(home: Path, straight: Path) -> None:
    other = home / "other"
    other.mkdir()
    dataset.save(planted_dataset(random_checkpoint(), 60, seed=9), other / "planted.npz")
    spec = read_spec(spec_of(home, 1).text, other)
    with pytest.raises(InputError, match="a study of other frames called 'planted'"):
        prepare_study(spec, straight)


def test_frames_that_have_another_temperature_since_are_refused(home: Path, straight: Path) -> None:
    warmer = spec_of(home, 1, **{"temperature = 500": "temperature = 555"})
    with pytest.raises(InputError, match="at 500 K and it is at 555 K now"):
        prepare_study(warmer, straight)


def test_a_scheduler_that_does_not_answer_is_told_of(home: Path) -> None:
    reports = run_study(spec_of(home, 1), home / "nobody", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"):
        list(reports)


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.7:8786", "10.0.0.7:8786", "tls://", "http://localhost:1", "tcp://[::"]
)
def test_a_scheduler_for_everybody_is_refused(home: Path, capsys, address: str) -> None:
    words = ["study", str(home / "none.toml"), "--out", str(home / "x"), "--scheduler", address]
    assert main(words) == 2
    assert "given as tls://HOST:8786" in capsys.readouterr().err
    assert main([*words, "--unencrypted"]) == 2
    assert "specification" in capsys.readouterr().err  # which is read next


def test_a_scheduler_by_tls_needs_a_certificate(home: Path) -> None:
    check_scheduler("tls://127.0.0.1:1")
    reports = run_study(spec_of(home, 1), home / "unknown", scheduler="tls://127.0.0.1:1")
    with pytest.raises(InputError, match="names none"):
        list(reports)


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_a_scheduler_s_workers_give_the_same_tables(
    home: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    out = home / f"cluster-{protocol}"
    if protocol == "tls":
        _certify(tmp_path, monkeypatch)
    with distributed.LocalCluster(
        n_workers=1,
        processes=False,
        protocol=protocol,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
    ) as cluster:
        check_scheduler(cluster.scheduler_address)
        reports = list(run_study(spec_of(home, 4), out, scheduler=cluster.scheduler_address))
    assert reports[-1].done == 4
    same(straight, out)


def _certify(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One certificate for all sides, as docs/study.md makes it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate")
    key, certificate = folder / "dask.key", folder / "dask.crt"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dask -keyout".split()
    subprocess.run([openssl, *words, key, "-out", certificate], check=True, capture_output=True)
    both = {"key": str(key), "cert": str(certificate)}
    tls = {"ca-file": str(certificate), **dict.fromkeys(("client", "scheduler", "worker"), both)}
    comm = dask.config.config["distributed"]["comm"]
    monkeypatch.setitem(comm, "tls", comm["tls"] | tls)


def test_a_unit_that_kills_its_workers_ends_in_a_sentence(home: Path) -> None:
    """The workers of a unit of two models, killed as soon as they begin."""
    out, stop = home / "deadly", threading.Event()
    killer = threading.Thread(target=_kill_children, args=(stop,), daemon=True)
    killer.start()
    try:
        with pytest.raises(InputError, match=r"4 processes died one after another .* memory"):
            list(run_study(spec_of(home, 2), out, workers=1))
    finally:
        stop.set()
        killer.join()
    assert list(run_study(spec_of(home, 2), out, workers=0))[-1].done == 2


def _kill_children(stop: threading.Event) -> None:
    while not stop.wait(0.1):
        for child in multiprocessing.active_children():
            child.kill()


def test_workers_end_with_the_process_that_began_the_study(home: Path) -> None:
    """Nor does anything listen: a scheduler of Dask once ran what others on the machine sent."""
    file, out = home / "orphans.toml", home / "orphans"
    file.write_text(spec_of(home, 40).text)
    words = [sys.executable, "-m", "fisherdash", "study", file, "--out", out, "--workers", "1"]
    study = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    busy = until(lambda: _busy(out))
    here = psutil.Process(study.pid)
    sockets = [one for each in (here, *here.children(True)) for one in each.net_connections()]
    assert not [one for one in sockets if one.status == psutil.CONN_LISTEN]
    study.kill()
    study.wait()
    with pytest.raises(ProcessLookupError):
        until(lambda: os.kill(busy[0], 0))
    assert _finished(out)
    assert read_progress(out, open_plan(out)).done < 40


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it holds; a minute at most."""
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to hold within a minute"
        time.sleep(0.05)
    return found


def test_tables_with_other_columns_are_refused(straight: Path, tmp_path: Path) -> None:
    tables = read_tables(straight / "tables")
    with pytest.raises(InputError, match="the table models of a study has the columns"):
        Tables(**{**vars(tables), "models": tables.heads})
    with pytest.raises(InputError, match=r"holds no study: models\.csv is missing"):
        read_tables(tmp_path)


def test_the_shell_prints_the_promised_keys(
    home: Path, straight: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = home / "tiny.toml"
    file.write_text(spec_of(home, 4).text)
    assert main(["study", str(file), "--out", str(straight), "--workers", "0", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"models": 4, "done": 4, "failed": 0}


def test_a_studys_own_file_goes_on_with_it_wherever_the_data_were(
    straight: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not (straight / "planted.npz").exists()
    words = ["study", str(straight / "study.toml"), "--out", str(straight), "--workers", "0"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["done"] == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe\x00", "cannot be read: it is not text"),
        (b"[[data]]\nfile = 'nothing.npz'\n[[models]]\nframes = 5\n", "nothing.npz"),
        (b"[[models]]\nframes = 5\n", "at least one [[data]] table"),
    ],
)
def test_the_shell_refuses_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    file = tmp_path / "study.toml"
    if content is not None:
        file.write_bytes(content)
    assert main(["study", str(file), "--out", str(tmp_path / "out")]) == 2
    out, err = capfd.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
