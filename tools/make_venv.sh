#!/usr/bin/env bash
# make_venv.sh PYTHON FOLDER: a virtual environment, or one sentence that says what is missing.
set -euo pipefail
python=${1:-}
folder=$2

complain() {
    echo "make setup: $*" >&2
    exit 1
}

[ -n "$python" ] || complain "no Python found; install Python 3.11 (Debian: apt-get install python3.11 python3.11-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    complain "$python is $("$python" -V 2>&1), FisherDash needs 3.11; name one with 'make setup PYTHON=/path/to/python3.11'"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    complain "$python cannot make virtual environments; install its venv package (Debian: apt-get install python3.11-venv)"
"$python" -m venv --clear "$folder"
