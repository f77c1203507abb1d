#!/usr/bin/env bash
# An accelerator for some minutes: what works there, how fast, and a flow of paper size.
#
#   bash experiments/launch/campaign.sh SECONDS DATA OUT [--config.KEY=VALUE ...]
#
# for example, with FashionMNIST's IDX files in data/,
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
# Ctrl-C reaches the child, too; this waits for it
trap 'stopped=1' INT TERM
stopped=

stage() { # NAME SECONDS COMMAND...: once, its output in NAME.txt
  local name=$1 seconds=$2 status=0
  shift 2
  if [[ -e $out/$name.done || -n $stopped ]]; then return; fi
  echo "$name: at most $seconds s"
  timeout -s TERM "$seconds" "$@" >"$out/$name.txt" 2>&1 || status=$?
  tail -n 3 "$out/$name.txt"
  # out of time, what it measured counts
  if ((status == 0 || status == 124)); then touch "$out/$name.done"; fi
  echo "$name: exit status $status" | tee -a "$out/$name.txt"
}

stage versions 120 python -c 'import sys, jax, flowjax_ood
print(sys.version, jax.__version__, flowjax_ood.__version__, *jax.devices(), sep="\n")'
stage correctness $((budget / 6)) python -m pytest -q -n 0 -m accelerator
stage benchmark $((budget / 4)) python -m experiments benchmark --config="$config" \
  --mode=train,evaluate --batch="$batches" --seconds=1 --repeats=3 \
  --precision=bfloat16,tensorfloat32,float32 --out="$out/benchmark"

status=0
# a quarter of what is left is for compiling, saving and evaluating
rest=$(((budget - SECONDS) * 3 / 4))
if [[ -n $stopped ]]; then exit 143; fi
if ((rest > 0)); then
  echo "training: at most $rest s"
  python -m experiments train --config="$config" --workdir="$out/run" \
    --config.data.source=idx --config.data.path="$data" \
    --config.data.ood=mnist:train10k --config.train.max_seconds="$rest" "$@" &
  training=$!
  trap 'kill -TERM "$training" 2>/dev/null || true' INT TERM
  while kill -0 "$training" 2>/dev/null; do wait "$training" || true; done
  wait "$training" || status=$?
fi
for file in {versions,correctness}.txt benchmark/benchmark.{json,csv,md,png} \
  run/{config.json,results.json,metrics.jsonl,likelihoods.png,samples.png}; do
  if [[ -e $out/$file ]]; then cp "$out/$file" "$out/results/"; fi
done
echo "to bring back: $out/results"
exit "$status"
