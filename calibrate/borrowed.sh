#!/usr/bin/env bash
# Measure on a borrowed machine: one without network, for a quarter of an hour in all, that takes little at a time.
#
#   calibrate/borrowed.sh times                       the steps and what each may take, summing below 15 minutes
#   calibrate/borrowed.sh kernels RESULTS             LoRA's kernels alone, which tell most in the least time
#   calibrate/borrowed.sh servers RESULTS [SECONDS]   servers, the most telling first, as long as there is time for one
#
# Before: `python -m calibrate parcel` packs what the machine lacks into PARCELS/1, PARCELS/2 …, each small enough to be
# carried; the first is all that `kernels` takes. WORK stays on the machine: what is measured there is not measured
# again, and the same command goes on. RESULTS gets kernels.jsonl case by case, and figures.tar.gz (tables, every request,
# the servers' logs) four times a minute: what cuts a step off loses no more than that.
#
# PARCELS [build/parcels]   WORK [/var/tmp/calibrate]   SHAPE of the model, with made-up weights [llama-3.1-8b-instruct]
# SLOTS of the servers in turn, 0: without LoRA [32 0 128 1]   FLAGS more flags of `python -m calibrate run`
set -euo pipefail

# Seconds that each step may take at most: what takes longer is cut off. An H200 was there with the first parcel after 32,
# took 4 for each of the others, and its first server was ready after 140, the next after 86.
start=60 small=20 check=40 kernels=160 spare=20 carry=60 install=30 servers=480
server=270 # one of them
least=100  # below that none is started
ending=20  # what is cut off has to end by itself; a server takes that

project=$(cd "$(dirname "$0")/.." && pwd)
parcels=${PARCELS:-$project/build/parcels} work=${WORK:-/var/tmp/calibrate}
shape=${SHAPE:-llama-3.1-8b-instruct}
python=${PYTHON:-python3}
export PYTHONPATH="$project" HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1
export VLLM_USE_FLASHINFER_SAMPLER=0 # which would be compiled first, and is no wheel of those that are carried

times() {
    local all=0 what seconds
    while read -r seconds what; do
        printf '%5d s  %s\n' "$seconds" "$what"
        all=$((all + seconds))
    done <<END
$start the machine starts, and gets the first parcel
$small kernels: small wheels installed
$check kernels: held to torch
$((kernels + spare)) kernels: timed, and written case by case
$carry the other parcels
$install servers: wheels joined and installed
$servers servers: ${SLOTS:-32 0 128 1} slots, at most $server s each, none with less than $least s left
END
    printf '%5d s  in all, of 900\n' "$all"
    [ "$all" -lt 900 ]
}

limited() { # SECONDS COMMAND …: interrupted, then killed; a step that fails or is cut off does not stop the next
    local seconds=$1
    shift
    timeout --signal=INT --kill-after=$ending "${seconds}s" "$@" 2>&1 | tee -a "$results/calibrate.log" || true
}

small() { # the wheels that are whole, in the first parcel
    unpacked small "$parcels"/1/*.whl
}

large() { # those that came in parts
    local first name
    if [ ! -e "$work/large/.ready" ]; then
        mkdir -p "$work/wheels"
        for first in "$parcels"/*/*.part-000; do
            [ -e "$first" ] || continue
            name=$(basename "$first" .part-000)
            cat "$parcels"/*/"$name".part-* >"$work/wheels/$name"
        done
    fi
    unpacked large "$work"/wheels/*.whl
}

unpacked() { # FOLDER WHEEL …: once. Into a folder and no environment, for the machine's Python may be one of its own
    local folder=$work/$1
    shift
    if [ ! -e "$folder/.ready" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        [ ! -e "$1" ] || "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
            --target "$folder" "$@"
        touch "$folder/.ready"
    fi
    export PYTHONPATH="$PYTHONPATH:$folder" PATH="$folder/bin:$PATH"
}

kernels() {
    small
    limited "$check" "$python" -m calibrate check-kernels --kernels "$parcels/1/kernels" --device cuda
    limited $((kernels + spare)) "$python" -m calibrate kernels --kernels "$parcels/1/kernels" --seconds "$kernels" \
        -o "$results/kernels.jsonl"
}

pack() { # all but the adapters; whole, or as it was
    tar -C "$work/figures" --exclude=adapters -czf "$results/.figures" . 2>>"$results/calibrate.log" || true
    mv "$results/.figures" "$results/figures.tar.gz"
}

servers() { # SECONDS
    local end=$((SECONDS + $1)) slots left packing
    small
    large
    "$python" -m calibrate dummy-model "$work/$shape" --shape "$shape"
    for slots in ${SLOTS:-32 0 128 1}; do
        left=$((end - SECONDS))
        if [ "$left" -lt "$least" ]; then
            echo "borrowed.sh: $left s left: no server with $slots slots any more" | tee -a "$results/calibrate.log"
            break
        fi
        while sleep 15; do pack; done &
        packing=$!
        # shellcheck disable=SC2086 # several flags in one word
        limited "$(((left < server ? left : server) - ending))" "$python" -m calibrate run --model "$work/$shape" \
            --scale quarter --slots "$slots" --hub-id meta-llama/Llama-3.1-8B-Instruct --gpu borrowed \
            --work "$work/figures" --output "$work/profile.toml" ${FLAGS:-}
        kill "$packing"
        wait "$packing" || true
        pack
    done
}

what=${1:-} results=${2:-}
case $what in
times) times && exit ;;
kernels | servers) [ -n "$results" ] || what= ;;
*) what= ;;
esac
if [ -z "$what" ]; then
    echo "borrowed.sh: 'times', 'kernels RESULTS' or 'servers RESULTS [SECONDS]' wanted" >&2
    exit 2
fi
mkdir -p "$work/figures" "$results"
"$what" "${3:-$servers}"
