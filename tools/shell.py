"""FisherDash's own commands, called from the other tools as a user would type them."""

import json
import subprocess
import sys
from typing import Any


def shell(command: str, *arguments: object) -> dict[str, Any]:
    """Runs one command with --json, shows it on standard error, returns its answer."""
    words = [command, *map(str, arguments)]
    print("\n$ fisherdash", *words, file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "fisherdash", *words, "--json"]
    answer = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(answer)
