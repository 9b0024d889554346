#!/usr/bin/env bash
# potentials.sh PYTHON FAMILY [FOLDER]: an environment with the library of mace, so3lr or nequip.
#
# The first two fit into one, NequIP needs another e3nn. torch comes first, built for CPUs, for its
# usual build brings three gigabytes of CUDA; the rest is pinned to the hash.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=2.13.0
python=$1
family=$2
pins=requirements-potentials.txt
folder=.venv/potentials

complain() {
    echo "make potentials: $*" >&2
    exit 1
}

case $family in
mace) package=mace ;;
so3lr) package=so3krates_torch ;;
nequip) package=nequip pins=requirements-nequip.txt folder=.venv/nequip ;;
*) complain "FAMILY is mace, so3lr or nequip, received '$family': call 'make potentials FAMILY=mace'" ;;
esac
folder=${3:-$folder}
if [ ! -x "$folder/bin/python" ] || ! cmp -s "$pins" "$folder/stamp"; then
    tools/make_venv.sh "$python" "$folder"
    pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" "torch==$torch+cpu" ||
        complain "this machine's package index has no torch $torch for CPUs; set PIP_EXTRA_INDEX_URL to the index for CPUs that pytorch.org names, and call again"
    "${pip[@]}" --require-hashes --no-deps -r "$pins"
    cp "$pins" "$folder/stamp"
fi
"$folder/bin/python" -c "import $package" >/dev/null 2>&1 || complain "$package cannot be imported"
echo "$folder has it: fisherdash import FILE --family $family --python $folder/bin/python --trust-this-file --out CKPT"
