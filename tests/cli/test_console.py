"""What every command does alike, tried on commands made up for the purpose."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fisherdash.cli.console import Console, execute, json_safe, table
from fisherdash.errors import InputError
from fisherdash.tasks import Task
from fisherdash.workspace.estimates import Estimate
from fisherdash.workspace.jobs import JobProgress


def arguments(run, **more) -> argparse.Namespace:
    """What the parser would hand over for a command that does ``run``."""
    settings = {"json": True, "debug": False, "command_line": "fisherdash made-up", **more}
    return argparse.Namespace(run=run, **settings)


def test_standard_output_is_one_object_whoever_prints(capfd):
    def run(args, console):
        print("a careless library")
        os.write(1, b"a careless compiled library\n")
        console.note("something inferred")
        return {"energy_eV": np.float32(0.5), "frames": np.int64(3), "dead": {"a": np.nan}}

    assert execute(arguments(run)) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"energy_eV": 0.5, "frames": 3, "dead": {"a": None}}
    assert len(out.splitlines()) == 1
    for line in ("a careless library", "a careless compiled library", "something inferred"):
        assert line in err.splitlines()


def test_standard_output_is_given_back(capfd):
    execute(arguments(lambda args, console: {}))
    os.write(1, b"mine again")
    assert capfd.readouterr().out == "{}\nmine again"


def test_unusable_input_is_one_line_and_drops_the_notes(capfd):
    def run(args, console):
        console.note("inferred before the mistake was seen")
        raise InputError("frames must be\n 3, received 2")

    assert execute(arguments(run)) == 2
    assert capfd.readouterr() == ("", "fisherdash: frames must be 3, received 2\n")


def fail(args, console):
    """A failure of the program's own."""
    raise RuntimeError("the bug")


def test_a_failure_of_ours_is_one_line_and_a_log(capfd):
    assert execute(arguments(fail)) == 1
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert "RuntimeError: the bug" in err
    found = re.search(r"traceback is in (\S+)$", err.strip())
    assert found
    log = Path(found[1])
    assert "fisherdash made-up" in log.read_text() and "in fail" in log.read_text()
    log.unlink()


def test_debug_shows_the_traceback(capfd):
    assert execute(arguments(fail, debug=True)) == 1
    out, err = capfd.readouterr()
    assert out == "" and "in fail" in err and err.startswith("Traceback")


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: a shell starts its background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_asks_and_the_second_one_ends(capfd, interruptible):
    def stops(args, console):
        with console.stoppable() as cancel:
            os.kill(os.getpid(), signal.SIGINT)
            return {"asked": cancel.wait(5)}

    assert execute(arguments(stops)) == 0
    assert json.loads(capfd.readouterr().out) == {"asked": True}

    def insists(args, console):
        with console.stoppable():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()

    assert execute(arguments(insists)) == 1
    out, err = capfd.readouterr()
    assert out == "" and "interrupted" in err.splitlines()[-1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_progress_bar_where_there_is_no_terminal(capfd):
    console = Console()
    console.progress(1, 10, "working")
    console.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), None),
        (np.float64("nan"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        ((1, True, None, "x"), [1, True, None, "x"]),
        (Path("a/b"), "a/b"),
        ({1: {"x": np.bool_(True)}}, {"1": {"x": True}}),
    ],
)
def test_json_safe(value, expected):
    assert json_safe(value) == expected


def test_no_name_out_of_a_file_commands_the_terminal(capfd):
    def run(args, console):
        console.note("from \x1b]0;title\x07 a file\u202e")
        return {"errors": {"a\x1b[31m\udcff": 1.0}, "second": "\x9b2J"}

    assert execute(arguments(run, json=False)) == 0
    out, err = capfd.readouterr()
    assert out == "errors, a?[31m?    1\nsecond           ?2J\n"
    assert err == "from ?]0;title? a file?\n"


def test_json_safe_refuses_what_json_cannot_carry():
    with pytest.raises(TypeError, match="object"):
        json_safe({"x": object()})


def test_the_table_has_units_and_leaves_names_alone():
    lines = table(
        {
            "frames": 12,
            "force_rmse_eV_per_A": {"default": 0.123456, "run_300_K": 2.0},
            "drift_meV_per_atom_per_ps": {"a": {"median": 1.0, "low": 0.5, "high": 2.0}},
            "paired_difference": {"median": None, "low": None, "high": None, "p_value": 0.25},
            "boltzmann": {"temperature_K": 500.0, "consistent": True},
        }
    ).splitlines()
    assert lines == [
        "frames                                12",
        "force rmse, default               0.1235 eV/Å",
        "force rmse, run_300_K                  2 eV/Å",
        "drift, a                    1 (0.5 to 2) meV/atom/ps",
        "paired difference                      -",
        "paired difference, p value          0.25",
        "boltzmann, temperature               500 K",
        "boltzmann, consistent                yes",
    ]


SMALL = Estimate("made-up", 1.0)


def interrupting(keeps, estimate=SMALL):
    """A task that is interrupted in the middle; how far it was asked to stop is its result."""

    def work(cancel, report):
        yield JobProgress(0.0, "working", "first")
        os.kill(os.getpid(), signal.SIGINT)
        stopped = cancel.wait(5)
        report(JobProgress(0.5, "working"))
        yield JobProgress(1.0, "working", "last")
        return stopped

    return Task("made-up", "", estimate, work, note="going on", keeps=keeps)


def test_a_task_is_followed_to_its_result_and_its_last_item(capfd, interruptible):
    def run(args, console):
        stopped, last = console.follow(interrupting(keeps=True))
        return {"stopped": stopped, "last": last.detail}

    assert execute(arguments(run)) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"stopped": True, "last": "last"}
    assert err.splitlines()[0] == "going on"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_task_that_keeps_nothing_ends_at_the_first_interrupt(capfd, interruptible):
    def run(args, console):
        return {"stopped": console.follow(interrupting(keeps=False))[0]}

    assert execute(arguments(run)) == 1
    out, err = capfd.readouterr()
    assert out == "" and "interrupted; nothing was kept" in err


def test_a_large_task_is_warned_of_and_beyond_a_limit_refused_in_one_line(
    capfd, interruptible, monkeypatch
):
    large = Estimate("made-up", 3 * 24 * 3600.0)

    def run(args, console):
        return {"stopped": console.follow(interrupting(keeps=True, estimate=large))[0]}

    assert execute(arguments(run)) == 0
    warned = "warning: this will take about 3 days by a careful rule; Ctrl-C stops it"
    assert warned in capfd.readouterr().err.splitlines()
    monkeypatch.setenv("FISHERDASH_MAX_JOB_HOURS", "2")
    assert execute(arguments(run)) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "would take about 3 days, and this server allows 2 h for one job" in err


def test_an_interrupt_that_python_could_not_raise_is_not_lost(capfd, interruptible):
    """While libraries are imported it may come in a destructor, where Python only prints it."""

    class Fragile:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    def run(args, console):
        one = Fragile()
        del one
        return {"stopped": console.follow(interrupting(keeps=True))[0]}

    assert execute(arguments(run)) == 1
    out, err = capfd.readouterr()
    assert out == "" and err == "fisherdash: interrupted; nothing was kept\n"


def test_an_interrupt_while_a_library_is_imported_ends_the_program(tmp_path):
    """Compiled ones would crash or go on."""
    (tmp_path / "compiled.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except BaseException:\n    print('went on')\n"
    )
    program = """
import argparse, sys
from fisherdash.cli.console import execute
sys.path.insert(0, sys.argv[1])
def run(args, console):
    import compiled
    return {}
sys.exit(execute(argparse.Namespace(run=run, debug=False, command_line="")))
"""
    line = [sys.executable, "-c", program, str(tmp_path)]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    told = "fisherdash: interrupted; nothing was kept\n"
    assert (found.returncode, found.stdout, found.stderr) == (1, "", told)


def test_work_that_is_given_up_is_no_unusable_input(capfd, interruptible):
    def work(cancel, report):
        yield JobProgress(0.0, "working", "first")
        os.kill(os.getpid(), signal.SIGINT)
        cancel.wait(5)
        raise InputError("the labelling was cancelled")

    def run(args, console):
        console.follow(Task("made-up", "", SMALL, work))

    assert execute(arguments(run)) == 1
    assert "fisherdash: interrupted: the labelling was cancelled" in capfd.readouterr().err


KILLED_AT_AN_IMPORT = """
import os, runpy, signal, sys

class Killer:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Killer())
if {as_module}:
    sys.argv = ["-m", "index"]
    runpy.run_module("fisherdash", run_name="__main__")
else:
    sys.argv = ["/bin/fisherdash", "index"]
    from fisherdash.__main__ import main
    sys.exit(main())
"""


@pytest.mark.parametrize("as_module", [True, False], ids=["python -m fisherdash", "fisherdash"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("fisherdash.cli.models", "interrupted before it began"),
        ("fisherdash.background", "interrupted; nothing was kept"),
    ],
)
def test_a_signal_at_the_start_is_one_sentence_and_status_1(module, sentence, number, as_module):
    """Ctrl-C while the program loads once printed up to 34 lines of traceback."""
    code = KILLED_AT_AN_IMPORT.format(module=module, signal=number, as_module=as_module)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"fisherdash: {sentence}\n"


@pytest.mark.parametrize(
    ("closed", "status", "said"),
    [
        ("", 0, ""),
        ("<&-", 0, ""),
        (">&-", 1, "fisherdash: the result could not be printed: Bad file descriptor\n"),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 1, ""),
    ],
)
def test_a_stream_that_is_closed_is_no_file_of_ours(tmp_path, closed, status, said):
    """What is opened next once got its number, and with it everything that libraries print."""
    code = (
        "import os, sys; sys.argv[0] = '/bin/fisherdash'; "
        "from fisherdash.__main__ import main; "
        "assert os.open(os.devnull, os.O_RDONLY) > 2; "
        "status = main(['index']); os.write(2, b''); sys.exit(status)"
    )
    found = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{code}" {closed}'],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "FISHERDASH_WORKSPACE": str(tmp_path)},
    )
    assert (found.returncode, found.stderr) == (status, said)
