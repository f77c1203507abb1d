#!/usr/bin/env bash
# An accelerator for some minutes: what works there, how fast, and a flow of paper size.
#
#   bash experiments/launch/campaign.sh SECONDS DATA OUT [--config.KEY=VALUE ...]
#
# for example, with FashionMNIST's four IDX files in data/,
#
#   bash experiments/launch/campaign.sh 800 data runs/campaign
#
# In OUT: versions.txt; correctness.txt, of the tests that are marked for accelerators
# (pip install -e '.[test]'); benchmark/, throughput by batch and precision, with the
# share of the device's peak; run/, a training that takes the rest of the time, and goes
# on when the command is given again; results/, all that is worth to be brought back,
# without checkpoints. A stage that has ended is not repeated.
#
# CONFIG names another config, BATCHES other batches. To rehearse on a CPU:
#
#   CONFIG=experiments/configs/fashion_mnist_realnvp.py:smoke BATCHES=16 \
#     bash experiments/launch/campaign.sh 300 data runs/rehearsal
#
# Exit status: that of the training; 130, 143 where it was stopped, all saved.
set -euo pipefail

if [[ $# -lt 3 || ! $1 =~ ^[0-9]+$ ]]; then
  echo "usage: bash $0 SECONDS DATA OUT [--config.KEY=VALUE ...]" >&2
  exit 2
fi
budget=$1 data=$2 out=$3
shift 3
config=${CONFIG:-experiments/configs/fashion_mnist_realnvp.py}
batches=${BATCHES:-32,256,1024}
mkdir -p "$out/results"
stopped= child=
stop() { # EXIT STATUS: of whatever runs, which saves first
  stopped=$1
  if [[ -n $child ]]; then kill -TERM "$child" 2>/dev/null || true; fi
}
trap 'stop 130' INT
trap 'stop 143' TERM

run() { # COMMAND...: in the background, so that a signal reaches it at once
  local status=0
  "$@" &
  child=$!
  while kill -0 "$child" 2>/dev/null; do wait "$child" || true; done
  wait "$child" || status=$?
  child=
  return "$status"
}

stage() { # NAME SECONDS COMMAND...: once, its output in NAME.txt
  local name=$1 seconds=$2 status=0
  shift 2
  if [[ -e $out/$name.done || -n $stopped ]]; then return; fi
  echo "$name: at most $seconds s"
  run timeout -s TERM "$seconds" "$@" >"$out/$name.txt" 2>&1 || status=$?
  tail -n 3 "$out/$name.txt"
  # out of time, what was measured of throughput counts; half a test run says nothing
  if [[ -z $stopped ]] && ((status == 0)) || [[ $name == benchmark && $status == 124 ]]
  then
    touch "$out/$name.done"
  fi
  echo "$name: exit status $status" | tee -a "$out/$name.txt"
}

for part in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
  if ! compgen -G "$data/*$part-ubyte*" >/dev/null; then
    echo "no file of $part-ubyte in $data: download FashionMNIST's IDX files" >&2
    exit 2
  fi
done

stage versions 120 python -c 'import sys, jax, flowjax_ood
print(sys.version, jax.__version__, flowjax_ood.__version__, *jax.devices(), sep="\n")'
# compiled as users do
stage correctness $((budget / 6)) env JAX_DISABLE_MOST_OPTIMIZATIONS=false \
  python -m pytest -q -n 0 --tb=short -m accelerator
stage benchmark $((budget / 4)) python -m experiments benchmark --config="$config" \
  --mode=train,evaluate --batch="$batches" --seconds=1 --repeats=3 \
  --precision=bfloat16,tensorfloat32,float32 --out="$out/benchmark"

status=0
# a quarter of what is left is for compiling, saving and evaluating
rest=$(((budget - SECONDS) * 3 / 4))
if [[ -z $stopped ]] && ((rest > 0)); then
  echo "training: at most $rest s"
  run python -m experiments train --config="$config" --workdir="$out/run" \
    --config.data.source=idx --config.data.path="$data" \
    --config.data.ood=mnist:test --config.data.ood_source=embedded \
    --config.data.limit_test=2000 --config.train.max_seconds="$rest" "$@" || status=$?
fi
for file in {versions,correctness}.txt benchmark/benchmark.{json,csv,md,png} \
  run/{config.json,results.json,metrics.jsonl,likelihoods.png,samples.png}; do
  if [[ -e $out/$file ]]; then cp "$out/$file" "$out/results/"; fi
done
echo "to bring back: $out/results"
exit "${stopped:-$status}"
