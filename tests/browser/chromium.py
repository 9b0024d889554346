"""A headless Chromium that draws WebGL in software, and the app on a free port."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find() -> str | None:
    """The system's Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


needed = pytest.mark.skipif(find() is None, reason="no Chromium on this machine")
"""For tests that draw a picture, outside this folder."""


QUICK = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 "
    "--xla_llvm_disable_expensive_passes=true",
}
"""Of an app under test where tests compile quickly: half the time to compile, and dynamics, which
run for long there, nearly as fast as by default."""


APP = (sys.executable, "-m", "fisherdash", "app", "--port")


@contextlib.contextmanager
def serving(
    workspace: Path, log: Path, patience: float = 90.0, command: Sequence[str] = APP
) -> Iterator[str]:
    """Start the app with its own workspace; gives its address, stops it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "FISHERDASH_WORKSPACE": str(workspace),
        "STREAMLIT_SERVER_HEADLESS": "true",
        **(QUICK if os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "1" else {}),
    }
    with log.open("wb") as output:
        app = subprocess.Popen(
            [*command, str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(f"{address}/_stcore/health", app, log, time.monotonic() + patience)
            yield address
        finally:
            app.terminate()
            try:
                app.wait(15)
            except subprocess.TimeoutExpired:
                app.kill()


def _wait(url: str, app: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    while time.monotonic() < deadline and app.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the app did not start:\n{log.read_text(errors='replace')[-2000:]}")
