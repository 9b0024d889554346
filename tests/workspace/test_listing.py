"""The list says what the folders say, in the order of creation, and reads only what has changed."""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.workspace import headers, listing, paths, runs
from fisherdash.workspace.headers import RunHeader
from fisherdash.workspace.listing import entries
from tests.randomised import random_checkpoint
from tests.workspace.recorded import chunk, header


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "work"))
    return tmp_path / "work"


def run(name, status="finished"):
    folder = paths.folder("runs") / name
    writer = runs.RunWriter(folder, header(title=f"run {name}"))
    writer.append(chunk(0))
    writer.finish(status)
    return folder


def rewrite(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def titles():
    return [entry.title for entry in entries("runs")]


def test_runs_are_listed_newest_first():
    assert titles() == []
    for name in ("one", "two", "three"):
        run(name)
    assert titles() == ["run three", "run two", "run one"]
    assert [entry.number for entry in entries("runs")] == [3, 2, 1]


def test_only_what_has_changed_is_read_again(monkeypatch):
    one, two = run("one"), run("two")
    entries("runs")
    read, real = [], RunHeader.read
    monkeypatch.setattr(RunHeader, "read", lambda path: read.append(path.name) or real(path))
    assert titles() == ["run two", "run one"] and read == []
    rewrite(one, title="another")
    assert titles() == ["run two", "another"] and read == ["one"]
    shutil.rmtree(one)
    assert titles() == ["run two"] and read == ["one"]
    (two / "run.json").unlink()
    assert "holds no run.json" in entries("runs")[0].problem
    assert entries("runs")[0].problem and read == ["one", "two"]
    run("two-again")
    assert titles()[0] == "run two-again"


def test_a_list_of_two_thousand_runs_is_quick(own_workspace):
    fields = json.loads((run("first") / "run.json").read_text())
    for number in range(2, 2001):
        folder = own_workspace / "runs" / f"run-{number}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(fields | {"number": number}))
    assert len(entries("runs")) == 2000
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        entries("runs")
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.15  # 0.01 s where nothing else is at work
    assert listing.next_number(own_workspace / "runs" / "next") == 2001


def test_the_index_file_of_an_earlier_version_is_no_hindrance(own_workspace, capfd):
    run("one")
    for ending in ("", "-wal", "-shm"):
        (own_workspace / f"index.sqlite{ending}").write_text("no database any more")
    assert titles() == ["run one"]
    assert main(["index", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["runs"] == 1
    assert len(list(own_workspace.glob("index.sqlite*"))) == 3
    assert main(["index", "--rebuild"]) == 0
    assert list(own_workspace.glob("index.sqlite*")) == []


def test_a_clock_set_back_does_not_hide_a_new_run(monkeypatch):
    run("old")
    monkeypatch.setattr(headers, "utc_now", lambda: "1999-12-31T23:59:59+00:00")
    run("new")
    assert titles() == ["run new", "run old"]
    assert entries("runs")[0].created.startswith("1999")


def test_runs_from_before_there_were_numbers_come_by_their_time():
    for name, created in (("a", "2020-01-01"), ("b", "2021-01-01")):
        path = run(name) / "run.json"
        fields = json.loads(path.read_text()) | {"created": created}
        del fields["number"]
        path.write_text(json.dumps(fields))
    assert titles() == ["run b", "run a"]
    run("c")
    assert titles() == ["run c", "run b", "run a"]


def test_a_header_with_odd_content_takes_no_list_away():
    run("sound")
    for number, odd in enumerate(
        ({"title": ["a"]}, {"number": "x"}, {"number": 10**30}, {"created": 7}, {"title": "\ud800"},
         {"status": {}}, {"writer": 3, "status": "running"})
    ):  # fmt: skip
        rewrite(run(f"odd-{number}"), **odd)
    for _ in range(2):
        found = {entry.folder.name: entry.problem for entry in entries("runs")}
        assert len(found) == 8
        sound = {name for name, problem in found.items() if problem is None}
        assert sound == {"sound", "odd-2", "odd-5", "odd-6"}  # others cannot be shown, but deleted


def test_models_are_listed_and_damaged_ones_with_what_is_wrong():
    model = random_checkpoint()
    checkpoint.save(model, paths.folder("checkpoints") / "a.safetensors")
    (paths.folder("checkpoints") / "c.safetensors").write_bytes(b"no model")
    found = {entry.folder.stem: entry for entry in entries("checkpoints")}
    assert (found["a"].title, found["a"].problem) == (model.name, None)
    assert "not a FisherDash checkpoint" in found["c"].problem


def test_work_that_failed_or_was_killed_is_unfinished_and_what_was_cancelled_is_not():
    for name, status in (("a", "failed"), ("b", "running"), ("c", "cancelled"), ("d", "finished")):
        run(name, status)
    found = {entry.folder.name: entry for entry in listing.interrupted("runs", "trainings")}
    assert set(found) == {"a", "b"}
    assert found["a"].how_far == "ended by a failure after step 8 of 20; all of that is kept"
    assert found["b"].how_far == "interrupted after step 8 of 20; all of that is kept"
    listing.dismiss(found["a"].folder)
    assert [entry.folder.name for entry in listing.interrupted("runs")] == ["b"]


TWO = """
import sys
from fisherdash.errors import InputError
from fisherdash.workspace import entries, paths, runs
from tests.workspace.recorded import chunk, header
for number in range(12):
    path = paths.new_path("runs", "same name", "")
    try:
        writer = runs.RunWriter(path, header(title=f"{sys.argv[1]} {number}"))
    except InputError as error:
        assert "exists already" in str(error) or "already holds" in str(error), error
        continue
    writer.append(chunk(number))
    writer.finish("finished")
    entries("runs")
    print(path.name)
"""


@pytest.mark.slow
def test_two_programs_on_one_workspace_lose_nothing(root):
    run("first")
    children = [
        subprocess.Popen([sys.executable, "-c", TWO, name], stdout=subprocess.PIPE, text=True,
                         cwd=root)
        for name in ("one", "two")
    ]  # fmt: skip
    with ThreadPoolExecutor() as pool:  # and this one looks on
        looking = pool.submit(lambda: [titles() for _ in range(50)])
        made = [child.communicate(timeout=120)[0].split() for child in children]
        looking.result()
    assert all(child.returncode == 0 for child in children)
    assert len(set(made[0])) + len(set(made[1])) == len(set(made[0] + made[1])) >= 12
    found = entries("runs")
    assert {entry.folder.name for entry in found} == {"first", *made[0], *made[1]}
    assert all(entry.problem is None for entry in found)


def test_the_command_counts_and_tidies(capfd, own_workspace):
    run("one"), run("two")
    checkpoint.save(random_checkpoint(), paths.folder("checkpoints") / "a.safetensors")
    (paths.folder("runs") / "bad").mkdir()
    assert main(["index", "--rebuild", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    counts = {key: answer[key] for key in ("runs", "trainings", "models", "damaged", "state")}
    assert counts == {"runs": 2, "trainings": 0, "models": 1, "damaged": 1, "state": "ready"}
    assert answer["index"] == str(own_workspace) and answer["rebuilt"] is True
    assert main(["index"]) == 0
    assert "runs" in capfd.readouterr().out


def test_a_run_is_renamed_with_all_that_is_in_it():
    one, two = run("one"), run("two")
    times = runs.open_run(one).times
    new = listing.rename(one, "Half the step, 300 K")
    assert new.name == "Half-the-step-300-K" and not one.exists()
    assert runs.open_run(new).times.tolist() == times.tolist()
    assert [entry.folder.name for entry in entries("runs")] == ["two", "Half-the-step-300-K"]
    for name, words in (("two", "the name two is taken"), ("../..", "needs a name")):
        with pytest.raises(InputError, match=words):
            listing.rename(new, name)
    assert listing.rename(two, "two") == two


def test_a_run_that_is_being_written_keeps_its_name():
    folder = paths.folder("runs") / "growing"
    writer = runs.RunWriter(folder, header())
    with pytest.raises(InputError, match="still being written"):
        listing.rename(folder, "another")
    writer.finish("cancelled")
    assert listing.rename(folder, "another").exists()
