"""Several people on one server, and the door for those who have not signed in."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.testing.v1 import AppTest

from fisherdash.workspace import jobs, limits, paths, users
from pages.ui import server

AUTH = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "dashboard",
    "client_secret": "s",
    "server_metadata_url": "https://example.org/.well-known/openid-configuration",
}


def button(app, label):
    return next(item for item in app.button if item.label == label)


def upload(app, name, content):
    app.segmented_control(key="add data").set_value("Load a file").run()
    app.file_uploader(key="upload").upload(name, content)
    button(app, "Load").click().run()
    assert not app.exception and not app.error


def test_alone_nothing_is_apart_and_nothing_can_be_shared(open_page, water):
    app = open_page("data")
    assert app.selectbox(key="data").value == "water"
    assert not any("hare" in item.label for item in app.button)


def test_an_upload_is_seen_by_others_only_when_it_is_shared(open_page, water, coming_as):
    content = (paths.folder("datasets") / "water.npz").read_bytes()
    (paths.folder("datasets") / "water.npz").unlink()
    coming_as("anna")
    anna = open_page("data")
    upload(anna, "secret water.npz", content)
    assert anna.selectbox(key="data").value == "secret-water"

    coming_as("ben")
    assert "There is no data yet" in open_page("data").info[0].value
    # Whoever knows the name has no more than whoever does not.
    assert "There is no data yet" in open_page("data", data="secret-water").info[0].value

    coming_as("anna")
    button(anna, "Share with everyone here").click().run()
    assert button(anna, "Stop sharing") and anna.selectbox(key="data").options == ["secret-water"]

    coming_as("ben")
    ben = open_page("data")
    assert ben.selectbox(key="data").value == "secret-water (shared)"
    assert not any("har" in item.label for item in ben.button)  # it is not his to share

    coming_as("anna")
    button(anna, "Stop sharing").click().run()
    coming_as("ben")
    assert "There is no data yet" in open_page("data").info[0].value


def test_a_job_is_its_users_and_limits_hold(open_page, water, model, coming_as, monkeypatch):
    (paths.everybodys() / "datasets" / "water.npz").touch()
    anna = coming_as("anna")
    monkeypatch.setenv(limits.RUN_STEPS.variable, "1000")
    app = open_page("simulate")
    button(app, "Simulate").click().run()
    assert "heads × replicas × steps are" in app.error[0].value
    for label, value in {"Replicas": 2, "Steps": 20}.items():
        next(item for item in app.number_input if item.label == label).set_value(value)
    button(app, "Simulate").click().run()
    assert not app.exception and not app.error
    job = jobs.every("simulate")[0]
    assert job.owner == anna and job.wait(180) and job.status == "finished", job.error
    assert job.info["run"].parent == paths.everybodys() / "users" / anna / "runs"
    app = open_page("drift")
    assert app.selectbox(key="run").value == job.info["run"].name
    coming_as("ben")
    app = open_page("drift", run=job.info["run"].name)
    assert f"no run called {job.info['run'].name}" in app.error[0].value.replace("\\", "")
    assert not app.selectbox(key="run").options
    app = open_page("simulate")
    assert "None was started here yet" in "".join(item.value for item in app.caption)


@pytest.fixture
def knock(root):
    """Open a page of an app where sign-in is configured, signed in or not."""

    def opened(user: dict, secrets: dict = AUTH, page: str = "home") -> AppTest:
        app = AppTest.from_file(str(root / "app.py"), default_timeout=120)
        app.secrets["auth"], app.user = secrets, user
        app.query_params["data"] = "water"
        app.run()
        if page != "home":
            app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        return app

    return opened


def test_where_sign_in_is_configured_there_is_a_door(knock):
    # That it stands before every page is seen in the browser: here a page runs without the app.
    app = knock({"is_logged_in": False})
    assert [item.label for item in app.button] == ["Sign in"] and len(app.markdown) == 1


def test_even_a_page_that_runs_without_the_app_shows_nothing_of_others(knock, water):
    app = knock({"is_logged_in": False}, page="data")
    assert app.selectbox(key="data").options == ["water (shared)"]


def test_named_providers_have_a_button_each(knock):
    shared = {key: AUTH[key] for key in ("redirect_uri", "cookie_secret")}
    app = knock({"is_logged_in": False}, {**shared, "university": AUTH, "github": AUTH})
    assert [item.label for item in app.button] == [
        "Sign in with university", "Sign in with github",
    ]  # fmt: skip


def test_an_account_has_its_own_workspace_whatever_the_browser(knock, water):
    content = (paths.folder("datasets") / "water.npz").read_bytes()
    anna = {"is_logged_in": True, "iss": "https://example.org", "sub": "1", "name": "Anna <b>"}
    assert "Anna <b>" in [item.value for item in knock(anna).text]  # as text, not as markup
    app = knock(anna, page="data")
    upload(app, "hers.npz", content)
    assert "hers" in knock(anna, page="data").selectbox(key="data").options
    other = knock({**anna, "sub": "2", "name": "Anna"}, page="data")
    assert other.selectbox(key="data").options == ["water (shared)"]
    # Without a name that the provider never reuses, nobody is taken for somebody else.
    nameless = knock({"is_logged_in": True}, page="data")
    assert nameless.selectbox(key="data").options == ["water (shared)"]


def ask(path: str, **headers: str) -> dict[str, str]:
    """The headers of the answer to a request."""
    sent = []

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def note(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "scheme": "http", "headers": raw}
    # In a thread of its own: a browser test before this one may have left a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, server.Visitors(page)(scope, None, note)).result()
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


PAGE = "text/html,application/xhtml+xml"


def given(answer: dict[str, str]) -> str:
    """The value of the cookie in an answer."""
    return answer["set-cookie"].split(";")[0].removeprefix("fisherdash_visitor=")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    return tmp_path


def test_only_a_shared_server_gives_out_a_cookie_and_only_with_a_page(monkeypatch, workspace):
    assert "set-cookie" not in ask("/", accept=PAGE)
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    first, second = ask("/", accept=PAGE), ask("/base/drift", accept=PAGE)
    assert given(first) != given(second)
    words = first["set-cookie"]
    assert "HttpOnly" in words and "SameSite=Lax" in words and "Secure" not in words
    assert "Secure" in ask("/", accept=PAGE, x_forwarded_proto="https")["set-cookie"]
    for path in ("/_stcore/health", "/static/a.js", "/base/static/a.js"):
        assert "set-cookie" not in ask(path, accept="*/*")


def test_a_visitor_keeps_the_token_and_nobody_can_choose_one(monkeypatch, workspace):
    """Whoever sends what this server has not signed is somebody new."""
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    mine = given(ask("/", accept=PAGE))
    assert given(ask("/", accept=PAGE, cookie=f"a=1; fisherdash_visitor={mine}")) == mine
    token, signature = mine.split(".")
    assert server.identity({server.COOKIE: mine}) == f"browser {token}"
    other = "x" * 43
    for value in ("", "short", token, other, f"{other}.{signature}", f"{token}.{'0' * 64}"):
        assert server.identity({server.COOKIE: value}) is None
        new = given(ask("/", accept=PAGE, cookie=f"fisherdash_visitor={value}")).split(".")[0]
        assert new not in {token, other}
    other = given(ask("/", accept=PAGE, cookie=f"xfisherdash_visitor={mine}"))
    assert other.split(".")[0] != token
    key = workspace / ".visitors-key"
    assert key.stat().st_mode & 0o077 == 0 and len(key.read_bytes()) == 32


def test_a_visitor_from_before_there_were_signatures_keeps_their_files(monkeypatch, workspace):
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    token = "o" * 43
    (workspace / "users" / users.named(f"browser {token}")).mkdir(parents=True)
    value = given(ask("/", accept=PAGE, cookie=f"fisherdash_visitor={token}"))
    assert value.startswith(f"{token}.") and server.identity({server.COOKIE: value})


def test_every_answer_carries_the_headers():
    assert (
        server.HEADERS.items()
        <= {name.title(): value for name, value in ask("/_stcore/health").items()}.items()
    )
