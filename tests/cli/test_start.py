"""Signals that come while the program is still loading."""

import os
import subprocess
import sys

import pytest

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
