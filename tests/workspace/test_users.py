"""People on one server: their work, their files and their limits are apart."""

import threading

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import belongings, jobs, limits, paths, users
from fisherdash.workspace.jobs import JobProgress

PATIENCE = 10.0
ANNA, BEN = users.named("anna"), users.named("ben")


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    for limit in limits.ALL:
        monkeypatch.delenv(limit.variable, raising=False)
    monkeypatch.delenv("FISHERDASH_SHARED", raising=False)


def waiting_for(event: threading.Event):
    def work(cancel):
        while not event.is_set() and not cancel.is_set():
            yield JobProgress(0.1)
            event.wait(0.01)

    return work


def test_nobody_in_particular_works_in_the_workspace_itself(tmp_path):
    assert users.current() == users.EVERYBODY and paths.root() == tmp_path


@pytest.mark.parametrize("bad", ["../x", "anna", "a" * 15, "/etc", "A" * 16, "a" * 16 + "\n"])
def test_only_a_word_that_is_safe_as_a_folder_is_a_user(bad):
    with pytest.raises(ValueError), users.acting_for(bad):
        pass
    assert users.current() == users.EVERYBODY


def test_each_user_has_a_workspace_and_a_worker_has_that_of_its_jobs_user(tmp_path):
    seen = []

    def work(cancel):
        seen.append(paths.root())
        yield JobProgress(1.0)

    with users.acting_for(ANNA):
        assert paths.root() == tmp_path / "users" / ANNA
        job = jobs.submit("test", "where", work, device="users")
    assert job.wait(PATIENCE) and seen == [tmp_path / "users" / ANNA]


def test_a_user_sees_and_cancels_only_their_own_jobs():
    end = threading.Event()
    with users.acting_for(ANNA):
        hers = jobs.submit("test", "hers", waiting_for(end), device="cancel")
    with users.acting_for(BEN):
        his = jobs.submit("test", "his", waiting_for(end), device="cancel")
        assert his in jobs.every() and hers not in jobs.every("test")
        assert jobs.get(his.id) is his and jobs.get(hers.id) is None
        with pytest.raises(InputError, match="another user's"):
            hers.cancel()
        assert len(jobs.before(his)) == 1
        his.cancel()
    assert his.status == "cancelled" and hers.active and not hers.cancelling
    assert {hers, his} <= set(jobs.every())  # whoever has the machine to themselves sees all
    hers.cancel()
    assert hers.wait(PATIENCE) and hers.status == "cancelled"


def test_a_worker_serves_users_in_turn():
    begun, end, order = threading.Event(), threading.Event(), []

    def first(cancel):
        begun.set()
        end.wait(PATIENCE)
        yield JobProgress(1.0)

    def noting(name):
        def work(cancel):
            order.append(name)
            yield JobProgress(1.0)

        return work

    jobs.submit("test", "first", first, device="turns")
    assert begun.wait(PATIENCE)
    made = []
    for user, name in ((ANNA, "a1"), (ANNA, "a2"), (ANNA, "a3"), (BEN, "b1")):
        with users.acting_for(user):
            made.append(jobs.submit("test", name, noting(name), device="turns"))
    assert len(jobs.before(made[3])) == 2
    end.set()
    assert all(job.wait(PATIENCE) for job in made)
    assert order == ["a1", "b1", "a2", "a3"]


def test_jobs_of_one_user_are_limited_and_others_are_not_affected(monkeypatch):
    monkeypatch.setenv("FISHERDASH_MAX_JOBS", "2")
    end = threading.Event()
    made = []
    with users.acting_for(ANNA):
        made += [jobs.submit("test", "x", waiting_for(end), device="limit") for _ in range(2)]
        with pytest.raises(InputError, match=r"you have 2 jobs .* this server allows 2"):
            jobs.submit("test", "x", waiting_for(end), device="limit")
    with users.acting_for(BEN):
        made.append(jobs.submit("test", "x", waiting_for(end), device="limit"))
    end.set()
    assert all(job.wait(PATIENCE) for job in made)
    with users.acting_for(ANNA):
        assert jobs.submit("test", "x", waiting_for(end), device="limit").wait(PATIENCE)


def test_what_is_shared_is_seen_by_all_and_can_be_taken_back():
    with users.acting_for(ANNA):
        mine = paths.folder("datasets") / "water.npz"
        mine.write_bytes(b"frames")
    with users.acting_for(BEN):
        assert paths.files("datasets") == []
        with pytest.raises(
            InputError, match=r"water\.npz is not a data set or a model of your own"
        ):
            belongings.share(mine)
    with users.acting_for(ANNA):
        assert belongings.shared_as(mine) is None
        shared = belongings.share(mine)
        assert belongings.share(mine) == shared == belongings.shared_as(mine)
        assert paths.files("datasets") == [mine]  # not twice
    with users.acting_for(BEN):
        assert paths.files("datasets") == [shared] and shared.read_bytes() == b"frames"
        assert belongings.is_everybodys(shared) and not belongings.is_own(shared)
        with pytest.raises(InputError):
            belongings.stop_sharing(shared)
    with users.acting_for(ANNA):
        belongings.stop_sharing(mine)
        assert mine.exists()
    with users.acting_for(BEN):
        assert paths.files("datasets") == []


def test_two_users_may_share_files_of_one_name():
    for user in (ANNA, BEN):
        with users.acting_for(user):
            path = paths.folder("checkpoints") / "model.safetensors"
            path.write_text(user)
            belongings.share(path)
    with users.acting_for(users.named("carl")):
        assert {path.read_text() for path in paths.files("checkpoints")} == {ANNA, BEN}
