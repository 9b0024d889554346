"""No page thread computes: the page says what is computed, keeps what it had, then shows it."""

import ast
import subprocess
import sys
import threading

import pytest
from streamlit.testing.v1 import AppTest

from fisherdash.study import results
from fisherdash.study.statistics import Findings
from fisherdash.study.tables import write_tables
from fisherdash.workspace import computed, jobs, paths, users
from pages.ui import progress
from tests.pages.conftest import settled
from tests.pages.test_pages import PATIENCE, texts
from tests.study import planted
from tests.workspace import recorded

TABLES = planted.tables(seed=5, models=7, replicas=3, temperatures=(500.0,), epochs=5)
IMPORTS = (ast.Import, ast.ImportFrom)
WAITING = "Computing what the study says"


@pytest.fixture
def held(monkeypatch):
    """Background work waits for the event; nothing is waited for on the page."""
    go, complete = threading.Event(), Findings.complete
    monkeypatch.setattr(progress, "_SOON", 0.0)
    monkeypatch.setattr(Findings, "complete", lambda self: go.wait(60) and complete(self))
    yield go
    go.set()
    assert all(job.wait(60) for job in computed.active())


def test_a_study_is_computed_while_the_page_stands(root, tmp_path, monkeypatch, held):
    monkeypatch.setattr(results, "shipped", lambda: tmp_path / "none")
    folder = paths.folder("studies") / "planted"
    write_tables(TABLES, folder / "tables")
    app = AppTest.from_file(str(root / "app.py"), default_timeout=60).run()
    app.switch_page("pages/study.py").run()
    assert not app.exception and WAITING in texts(app) and "models" not in texts(app)
    held.set()
    assert "7 models" in texts(settled(app)) and WAITING not in texts(app)

    held.clear()
    write_tables(TABLES, folder / "tables")  # the study has come further
    assert not app.run().exception
    assert "7 models" in texts(app) and WAITING in texts(app)
    held.set()
    assert "7 models" in texts(settled(app)) and WAITING not in texts(app)


def test_another_head_of_the_path_is_computed_and_kept(open_page, water, model):
    app = open_page("refit")
    next(item for item in app.button if item.label == "Re-fit").click().run()
    job = jobs.every("refit")[0]
    assert job.wait(PATIENCE) and job.status == "finished", job.error
    slider = app.run().select_slider(key=f"refit {job.id} point")
    other = next(ridge for ridge in slider.options if ridge != slider.options[0])
    settled(slider.set_value(float(other)).run())
    keep = [item for item in app.button if item.label == "Keep this head too"]
    assert len(keep) == 1
    keep[0].click().run()
    assert not app.exception
    kept = app.session_state["kept head"]
    assert kept.exists() and kept.parent == paths.place("checkpoints")


def test_pages_import_no_jax(root):
    """Neither by themselves nor through what they import: it takes seconds and starts threads."""
    shared = (path.stem for path in (root / "pages" / "ui").glob("*.py"))
    lines = [f"import pages.ui.{name}" for name in shared if name != "__init__"]
    for path in (root / "pages").glob("*.py"):
        tree = ast.parse(path.read_text())
        lines += [ast.unparse(one) for one in tree.body if isinstance(one, IMPORTS)]
    lines += ["import sys", "print({'jax', 'flax', 'e3x', 'optax'} & set(sys.modules) or 'none')"]
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=root
    )
    assert answer.stdout == "none\n", answer.stdout + answer.stderr


ASKED = threading.Event()


def test_what_comes_while_a_page_is_drawn_is_shown_above_too(monkeypatch):
    """Asked for quietly further up, and there by the time it is asked for aloud."""
    monkeypatch.setattr(progress, "_SOON", 0.0)

    def page() -> None:
        import streamlit as st

        from fisherdash.workspace import computed
        from pages.ui import progress
        from tests.pages.test_computed import ASKED

        def value() -> str:
            return "known" if ASKED.wait(60) else "never"

        st.text(f"above: {progress.computed('it', 'drawn twice', value, quiet=True)}")
        ASKED.set()
        assert all(job.wait(60) for job in computed.active())
        st.text(f"below: {progress.computed('it', 'drawn twice', value)}")

    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    assert [one.value for one in app.text] == ["above: known", "below: known"]


@pytest.fixture
def hurried(monkeypatch, coming_as):
    """A server that many share, whose pages compute nothing that takes a millisecond."""
    coming_as("anna")
    monkeypatch.setenv("FISHERDASH_MAX_PAGE_MINUTES", "1e-5")


def test_statistics_beyond_what_a_page_may_take_are_refused_and_the_run_is_shown(
    hurried, open_page, monkeypatch
):
    with users.acting_for(users.named("browser anna")):
        recorded.write(paths.folder("runs") / "short")
    refused = "the statistics would take about"
    app = open_page("drift", run="short")
    assert refused in app.error[0].value and "3 of 3 survive" in texts(app)
    app = open_page("compare")
    assert refused in app.error[0].value
    monkeypatch.delenv("FISHERDASH_MAX_PAGE_MINUTES")
    assert "Drift is the median" in texts(open_page("compare"))


def test_a_study_beyond_what_a_page_may_take_is_refused(root, hurried, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "shipped", lambda: tmp_path / "none")
    with users.acting_for(users.named("browser anna")):
        write_tables(TABLES, paths.folder("studies") / "planted" / "tables")
    app = AppTest.from_file(str(root / "app.py"), default_timeout=60).run()
    settled(app.switch_page("pages/study.py").run())
    assert "what the study says would take about" in app.error[0].value


def test_files_beyond_what_a_page_may_make_cannot_be_clicked(open_page, coming_as, monkeypatch):
    coming_as("anna")
    with users.acting_for(users.named("browser anna")):
        recorded.write(paths.folder("runs") / "short")
    app = open_page("drift", run="short", part="Download")
    files = {one.proto.label: one.proto for one in app.get("download_button")}
    assert len(files) >= 4 and not any(
        one.disabled for label, one in files.items() if "SVG" not in label
    )
    monkeypatch.setenv("FISHERDASH_MAX_PAGE_MB", "0.001")
    app = open_page("drift", run="short", part="Download")
    files = {one.proto.label: one.proto for one in app.get("download_button")}
    report = files["Report (HTML)"]
    assert report.disabled and "short.html would have about 10 MB" in report.help
    assert all(one.disabled for label, one in files.items() if "XYZ" in label)


def test_of_a_long_table_some_rows_are_sent(monkeypatch):
    def page() -> None:
        import pandas as pd

        from pages.ui import charts

        charts.show_table(pd.DataFrame({"n": range(50_000)}), "a long one")
        charts.show_table(pd.DataFrame({"n": range(10_000)}), "not too long")

    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    first, second = (one.value["n"].tolist() for one in app.dataframe)
    assert len(first) == 10_000 and (first[0], first[-1]) == (0, 49_999)
    assert second == list(range(10_000))
    assert [one.value for one in app.caption] == [
        "10,000 of 50,000 rows, evenly spaced; the file has all of them."
    ]
