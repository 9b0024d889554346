#!/usr/bin/env bash
# Writes the requirements files from pyproject.toml, every package pinned with its hashes.
#
# Versions already pinned are kept; `tools/lock.sh --upgrade` moves them all. Needs `uv`. The index,
# links and certificates configured on this machine are kept out of the files on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
[ -x .venv/bin/uv ] && uv=.venv/bin/uv
if [ -z "$uv" ]; then
    echo "tools/lock.sh needs uv: install it with '.venv/bin/pip install uv' and call again." >&2
    exit 2
fi

compile() { # FILE, then what uv is to compile
    local out=$1
    shift
    env -u PIP_FIND_LINKS -u UV_FIND_LINKS \
        "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command tools/lock.sh --output-file "$out" "$@"
}

upgrade=("${@}")
compile requirements.txt pyproject.toml --group build "${upgrade[@]}"
compile requirements-dev.txt pyproject.toml --group build --extra test --extra lint \
    --constraint requirements.txt "${upgrade[@]}"
# Only what comes on top of requirements.txt: the CUDA plugin of the same jax.
jax=$(sed -n 's/^jax==\([0-9.]*\).*/\1/p' requirements.txt)
echo "jax-cuda12-plugin[with-cuda]==$jax" |
    compile requirements-gpu.txt - --constraint requirements.txt "${upgrade[@]}"

# The same for signing in: only what Authlib brings.
echo "Authlib>=1.3.2" | compile requirements-auth.txt - --constraint requirements.txt "${upgrade[@]}"
# The same for the benchmark against jax-md; later networkx want Python 3.12, and one pin is enough.
printf '%s\n' "jax-md>=0.2.29" "networkx<3.7" |
    compile requirements-bench.txt - --constraint requirements.txt "${upgrade[@]}"
# An environment of its own, so nothing of it has to agree with the rest.
echo "pip-audit>=2.10" | compile requirements-audit.txt - "${upgrade[@]}"

if grep -nE '(https?|file)://|find-links|index-url|^/' requirements*.txt; then
    echo "tools/lock.sh: a host or a path of this machine leaked into the files above." >&2
    exit 1
fi

# Libraries of models that a Python of their own evaluates; MACE and NequIP want different e3nn. torch,
# which tools/potentials.sh installs for CPUs, is left out, and with it what only its usual build needs.
torch=$(sed -n 's/^torch=//p' tools/potentials.sh)
potentials() { # FILE, then the libraries
    printf '%s\n' "${@:2}" "torch==$torch" |
        compile "$1" - --no-emit-package torch "${upgrade[@]}"
    awk '/^[a-z]/ { skip = /^(nvidia|cuda|triton)/ } !skip' "$1" >requirements.part
    mv requirements.part "$1"
}
potentials requirements-potentials.txt "mace-torch>=0.3.16" "so3krates-torch>=0.2.1"
# Of these the later ones want Python 3.12, and one pin is enough.
potentials requirements-nequip.txt "nequip>=0.19.1" "networkx<3.7" "numpy<2.5" "scipy<1.18" \
    "contourpy<1.4"
