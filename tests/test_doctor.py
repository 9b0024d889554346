"""What `doctor` finds, and the log of jobs that it points at."""

import json
import logging

import pytest

from fisherdash import doctor
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.workspace import estimates, jobs, paths, runs
from fisherdash.workspace.jobs import JobProgress
from tests.workspace.recorded import chunk, header

PATIENCE = 10.0


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "work"))
    return tmp_path / "work"


def found():
    return {check.name: check for check in doctor.examine()}


def test_a_sound_machine_is_told_so(capfd, own_workspace):
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    checks = {check["name"]: check for check in answer["checks"]}
    assert answer["ok"] == all(check["ok"] for check in checks.values())
    for name in ("fisherdash", "jax", "e3x", "streamlit"):
        assert f"{name} " in checks["versions"]["found"]
    assert "cpu" in checks["devices"]["found"] or "gpu" in checks["devices"]["found"]
    assert str(own_workspace) in checks["workspace"]["found"] and checks["workspace"]["ok"]
    assert checks["index"]["ok"] and checks["unfinished work"]["found"] == "none"
    assert list(own_workspace.glob(".part-*")) == []  # it leaves nothing
    assert main(["doctor"]) == 0
    assert "workspace" in capfd.readouterr().out


def test_what_is_amiss_comes_with_what_to_do(monkeypatch, tmp_path, capfd):
    folder = paths.folder("runs") / "killed"
    writer = runs.RunWriter(folder, header())
    writer.append(chunk(0))
    writer._lock.release()  # as the kernel does when the process dies
    (paths.folder("runs") / "no run").mkdir()
    (paths.root() / "index.sqlite").write_text("of an earlier version")  # nobody looks at it
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: _Usage(10**12, 10**12, 10**8))
    monkeypatch.setattr(doctor, "PACKAGES", ("jax", "no-such-package"))
    checks = found()
    assert "no-such-package" in checks["versions"].advice
    assert (
        checks["disk"].found == "0.1 of 1000.0 GB free" and "delete runs" in checks["disk"].advice
    )
    assert str(folder) in checks["unfinished work"].advice
    assert "1 cannot be opened" in checks["contents"].advice
    assert main(["doctor"]) == 0  # looking is not failing
    assert capfd.readouterr().out.count("LOOK  ") >= 4


class _Usage:
    def __init__(self, total, used, free):
        self.total, self.used, self.free = total, used, free


def test_a_workspace_that_cannot_be_written_is_one_finding(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(blocked / "inside"))
    checks = found()
    assert "FISHERDASH_WORKSPACE" in checks["workspace"].advice
    assert checks["contents"].found == "0 runs, 0 trainings, 0 models"


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def _broken():
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(doctor, "_CHECKS", (_broken,))
    (check,) = doctor.examine()
    assert check.name == "broken" and "planted" in check.found and not check.ok


def lines():
    return [json.loads(line) for line in estimates.log_path().read_text().splitlines()]


def test_the_log_says_what_was_done_and_nothing_of_whom(own_workspace):
    def work(cancel):
        yield JobProgress(0.5, device="one device")
        return "secret result"

    sizes = {"atoms": 9, "replicas": 4, "name": "secret.npz"}
    info = {"sizes": sizes, "out": "secret path", "command": "secret"}
    job = jobs.submit("simulate", "secret title", work, info=info)
    assert job.wait(PATIENCE)

    def refuse(cancel):
        yield JobProgress(0.1)
        raise InputError("the file secret.npz holds no frames")

    assert jobs.submit("train", "secret", refuse).wait(PATIENCE)
    first, second, third, fourth = lines()
    assert (first["event"], first["kind"], first["job"]) == ("start", "simulate", job.id)
    assert (second["event"], second["status"], second["device"]) == (
        "end",
        "finished",
        "one device",
    )
    assert second["sizes"] == {"atoms": 9, "replicas": 4} and second["seconds"] >= 0
    assert second["done"] == 0.5 and "failure" not in second
    assert third["event"] == "start" and (fourth["status"], fourth["failure"]) == (
        "failed", "InputError"
    )  # fmt: skip
    assert "secret" not in estimates.log_path().read_text()


def test_the_log_is_bounded(monkeypatch):
    monkeypatch.setattr(estimates, "MAX_BYTES", 2000)
    monkeypatch.setattr(estimates, "BACKUPS", 2)
    for number in range(100):
        estimates.log_job("start", job=f"test-{number}")
    files = sorted(estimates.log_path().parent.glob("jobs.jsonl*"))
    assert [file.name for file in files] == ["jobs.jsonl", "jobs.jsonl.1", "jobs.jsonl.2"]
    assert sum(file.stat().st_size for file in files) <= 3 * 2000
    assert lines()[-1]["job"] == "test-99"


def test_a_log_that_cannot_be_written_keeps_nobody_from_working(own_workspace):
    own_workspace.mkdir()
    (own_workspace / "logs").write_text("a file where the folder should be")
    job = jobs.submit("test", "a title", lambda cancel: iter((JobProgress(1.0),)))
    assert job.wait(PATIENCE) and job.status == "finished"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "the test job ran out of memory; ask for fewer replicas"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.\nmore\nlines"),
            "the test job ran out of memory",
        ),
        (
            RuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS\nstack"),
            "the test job lost its device (INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS)",
        ),
        (ValueError("\n  one\ntwo"), "the test job failed: ValueError: one"),
    ],
)
def test_a_failure_is_one_sentence_that_says_what_to_do(error, words, caplog):
    def work(cancel):
        yield JobProgress(0.1)
        raise error

    with caplog.at_level(logging.CRITICAL):
        job = jobs.submit("test", "a title", work)
        assert job.wait(PATIENCE)
    assert job.status == "failed" and words in job.error and "\n" not in job.error
    assert jobs.failure_sentence("test", error) == job.error
    assert jobs.submit("test", "next", lambda cancel: iter(())).wait(PATIENCE)  # the worker lives


def test_it_says_what_a_server_would_guard(monkeypatch):
    monkeypatch.delenv("FISHERDASH_SHARED", raising=False)
    alone = found()["guards of the server"]
    assert alone.ok and "one user" in alone.found and "limits none" in alone.found
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    monkeypatch.setenv("FISHERDASH_MAX_JOB_HOURS", "3")
    monkeypatch.setenv("FISHERDASH_HOSTS", "fisherdash.example.org")
    many = found()["guards of the server"]
    assert "FISHERDASH_MAX_JOB_HOURS=3, FISHERDASH_MAX_JOB_MEMORY_GB=4" in many.found
    assert "and fisherdash.example.org" in many.found
    assert not many.ok and "FISHERDASH_ADMINS" in many.advice
    monkeypatch.setenv("FISHERDASH_ADMINS", "0123456789abcdef")
    assert found()["guards of the server"].ok
    monkeypatch.setenv("FISHERDASH_MAX_JOBS", "many")
    assert "FISHERDASH_MAX_JOBS must be" in found()["guards of the server"].found
