#!/usr/bin/env bash
# Measure a pair on a borrowed machine: one without network, for so many minutes.
#
#   calibrate/borrowed.sh WORK RESULTS MINUTES [FLAGS of `python -m calibrate run`]
#
# WORK stays on the machine; the same command goes on there, so a loan may come in pieces. RESULTS gets the tables,
# every single request and the servers' logs, also when the time is over early or a measurement fails; unpacked
# elsewhere, `python -m calibrate run --work` with the same flags fits the profile without a server.
#
# KERNELS folder that vLLM's LoRA kernels were carried to (`python -m calibrate carry-kernels`): they are timed first, for
#         KERNEL_SECONDS [180], for they tell most in the least time and need no server
# SERVER  0: no more than the kernels
# WHEELS  folder of wheels that the machine lacks (vLLM's among them); installed once, without their dependencies
# SHAPE   of the model, whose weights are made up [llama-3.1-8b-instruct]
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "borrowed.sh: WORK RESULTS MINUTES wanted" >&2
    exit 2
fi
work=$1 results=$2 minutes=$3
shift 3
shape=${SHAPE:-llama-3.1-8b-instruct}
project=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$work/figures" "$results"
work=$(cd "$work" && pwd)

python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
    if [ ! -e "$work/venv/.ready" ]; then
        "$python" -m venv --clear --system-site-packages "$work/venv"
        "$work/venv/bin/python" -m pip install --quiet --no-index --no-deps --no-cache-dir "$WHEELS"/*.whl
        touch "$work/venv/.ready"
    fi
    python=$work/venv/bin/python
    PATH=$work/venv/bin:$PATH
fi
export PYTHONPATH="$project" HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1

begin=$SECONDS
if [ -n "${KERNELS:-}" ]; then
    "$python" -m calibrate kernels --kernels "$KERNELS" --seconds "${KERNEL_SECONDS:-180}" -o "$results/kernels.jsonl" \
        2>&1 | tee -a "$results/calibrate.log" || true
fi
[ "${SERVER:-1}" != 0 ] || exit 0

pack() {
    [ ! -e "$work/profile.toml" ] || cp "$work/profile.toml" "$results/"
    tar -C "$work/figures" --exclude=adapters -czf "$results/figures.tar.gz" .
}
trap pack EXIT
"$python" -m calibrate dummy-model "$work/$shape" --shape "$shape"
left=$("$python" -c "print(max(60 * $minutes - $((SECONDS - begin)), 1))")
timeout --signal=INT --kill-after=60 "${left}s" \
    "$python" -m calibrate run --model "$work/$shape" --scale brief --experiments \
    --work "$work/figures" --output "$work/profile.toml" "$@" 2>&1 | tee -a "$results/calibrate.log"
