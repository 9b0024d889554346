"""The index lists what the folders say, whatever becomes of it, and in the order of creation."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fisherdash.__main__ import main
from fisherdash.potentials import checkpoint
from fisherdash.workspace import headers, index, list_runs, paths, runs
from tests.randomised import random_checkpoint
from tests.workspace.test_runs import chunk, header


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


def rows():
    """What the index remembers: name → number of its columns that are filled."""
    with contextlib.closing(sqlite3.connect(index.path())) as connection:
        return dict(connection.execute("SELECT name, status FROM entry WHERE kind = 'runs'"))


def titles():
    return [entry.title for entry in list_runs()]


def test_runs_are_listed_newest_first_and_remembered():
    for name in ("one", "two", "three"):
        run(name)
    assert titles() == ["run three", "run two", "run one"]
    assert rows() == dict.fromkeys(("one", "two", "three"), "finished")
    assert [entry.number for entry in list_runs()] == [3, 2, 1]


def test_only_what_has_changed_is_read_again(monkeypatch):
    run("one"), run("two")
    list_runs()
    read, real = [], index.read_header
    monkeypatch.setattr(index, "read_header", lambda path: read.append(path.name) or real(path))
    assert titles() == ["run two", "run one"] and read == []
    path = paths.place("runs") / "one" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"title": "another"}))
    assert titles() == ["run two", "another"] and read == ["one"]
    shutil.rmtree(path.parent)
    assert titles() == ["run two"] and read == ["one"]
    assert list(rows()) == ["two"]


def harm_missing():
    index.path().unlink()


def harm_text():
    index.path().write_text("this is no database, and long enough to be looked at " * 40)


def harm_middle():
    content = bytearray(index.path().read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    index.path().write_bytes(content)


def harm_version():
    with contextlib.closing(sqlite3.connect(index.path())) as connection:
        connection.execute("DROP TABLE entry")
        connection.execute("CREATE TABLE entry (other TEXT)")
        connection.execute("PRAGMA user_version = 77")


def harm_rows():
    with contextlib.closing(sqlite3.connect(index.path())) as connection:
        connection.execute("UPDATE entry SET facts = 'no json'")
        connection.commit()


HARMS = (harm_missing, harm_text, harm_middle, harm_version, harm_rows)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_whatever_happens_to_the_index_the_folders_are_listed(harm):
    run("one"), run("two")
    list_runs()
    harm()
    assert titles() == ["run two", "run one"]
    assert titles() == ["run two", "run one"]
    assert index.state() == "ready"
    assert len(rows()) == 2


def test_an_index_that_cannot_be_written_costs_time_only(monkeypatch):
    run("one")
    index.path().unlink(missing_ok=True)
    index.path().mkdir()  # nothing can be opened there
    assert titles() == ["run one"]
    assert index.state().startswith("cannot be used")


def test_one_that_is_busy_costs_time_only(monkeypatch):
    run("one")
    list_runs()
    monkeypatch.setattr(index, "_BUSY_SECONDS", 0.05)
    with contextlib.closing(sqlite3.connect(index.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run("two")
        assert titles() == ["run two", "run one"]
    assert titles() == ["run two", "run one"] and len(rows()) == 2


def test_a_clock_set_back_does_not_hide_a_new_run(monkeypatch):
    run("old")
    monkeypatch.setattr(headers, "utc_now", lambda: "1999-12-31T23:59:59+00:00")
    run("new")
    assert titles() == ["run new", "run old"]
    assert list_runs()[0].created.startswith("1999")


def test_runs_from_before_there_were_numbers_come_by_their_time():
    for name, created in (("a", "2020-01-01"), ("b", "2021-01-01")):
        path = run(name) / "run.json"
        fields = json.loads(path.read_text()) | {"created": created}
        del fields["number"]
        path.write_text(json.dumps(fields))
    assert titles() == ["run b", "run a"]
    run("c")
    assert titles() == ["run c", "run b", "run a"]


def test_a_header_with_odd_content_is_listed_all_the_same():
    run("sound")
    for number, odd in enumerate(
        ({"title": ["a"]}, {"number": "x"}, {"number": 10**30}, {"created": 7}, {"title": "\ud800"},
         {"status": {}}, {"writer": 3, "status": "running"})
    ):  # fmt: skip
        path = run(f"odd-{number}") / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | odd))
    for _ in range(2):
        assert len(list_runs()) == 8 and all(entry.problem is None for entry in list_runs())


def test_models_say_where_they_come_from():
    model = random_checkpoint()
    checkpoint.save(model, paths.folder("checkpoints") / "a.safetensors")
    refit = model.with_head(2 * model.head, model.element_bias, "refit", {})
    checkpoint.save(refit, paths.folder("checkpoints") / "b.safetensors")
    (paths.folder("checkpoints") / "c.safetensors").write_bytes(b"no model")
    found = {entry.folder.stem: entry for entry in index.entries("checkpoints")}
    assert found["b"].facts["parent"] == found["a"].facts["fingerprint"] == model.fingerprint
    assert "not a FisherDash checkpoint" in found["c"].problem


TWO = """
import sys
from fisherdash.workspace import runs, paths, list_runs
from tests.workspace.test_runs import chunk, header
for number in range(12):
    path = paths.new_path("runs", "same name", "")
    try:
        writer = runs.RunWriter(path, header(title=f"{sys.argv[1]} {number}"))
    except runs.InputError as error:
        assert "exists already" in str(error) or "already holds" in str(error), error
        continue
    writer.append(chunk(number))
    writer.finish("finished")
    list_runs()
    print(path.name)
"""


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
    entries = list_runs()
    assert {entry.folder.name for entry in entries} == {"first", *made[0], *made[1]}
    assert all(entry.problem is None for entry in entries)
    assert index.state() == "ready"


def test_the_command_rebuilds_and_counts(capfd):
    run("one"), run("two")
    checkpoint.save(random_checkpoint(), paths.folder("checkpoints") / "a.safetensors")
    (paths.folder("runs") / "bad").mkdir()
    list_runs()
    harm_text()
    assert main(["index", "--rebuild", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    counts = {key: answer[key] for key in ("runs", "trainings", "models", "damaged", "state")}
    assert counts == {"runs": 2, "trainings": 0, "models": 1, "damaged": 1, "state": "ready"}
    assert answer["index"] == str(index.path()) and answer["rebuilt"] is True
    assert main(["index"]) == 0
    assert "runs" in capfd.readouterr().out
