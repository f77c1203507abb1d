#!/usr/bin/env bash
# One machine: a run on all its GPUs by one process; or, to try several hosts at a desk,
# two processes on its CPU that find each other as two hosts would.
#
#   bash experiments/launch/single_box.sh run  CONFIG WORKDIR [--config.KEY=VALUE ...]
#   bash experiments/launch/single_box.sh desk CONFIG WORKDIR [--config.KEY=VALUE ...]
#
# for example
#
#   bash experiments/launch/single_box.sh desk \
#     experiments/configs/fashion_mnist_realnvp.py:smoke /tmp/two
#
# For GPUs install JAX's own: pip install -e . "jax[cuda12]". CUDA_VISIBLE_DEVICES=0,1
# leaves the others to somebody else; the batch must divide over those that are seen.
#
# Ctrl-C or `kill` stops it after the step at hand. Exit status:
#   0         done
#   130, 143  stopped, all saved: the same command goes on where it was
#   75        another process is gone: the same command goes on from the last checkpoint
#   2         will not work by running it again; read the message
# How it gets on: python -m experiments status --workdir=WORKDIR
set -euo pipefail

if [[ $# -lt 3 || ($1 != run && $1 != desk) ]]; then
  echo "usage: bash $0 run|desk CONFIG WORKDIR [--config.KEY=VALUE ...]" >&2
  exit 2
fi
how=$1 config=$2 workdir=$3
shift 3

if [[ $how == run ]]; then
  exec python -m experiments train --config="$config" --workdir="$workdir" "$@"
fi

outlast() { # PROCESS: a signal ends a `wait`, but not what is waited for
  while kill -0 "$1" 2>/dev/null; do wait "$1" || true; done
  wait "$1"
}

# any free port of this machine
port=${PORT:-8476}
export JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=${JAX_NUM_CPU_DEVICES:-1}
processes=()
# to one is enough, they agree on a step; to all, in case one has not begun to train
trap 'kill -TERM "${processes[@]}" 2>/dev/null || true' INT TERM
for k in 0 1; do
  python -m experiments train --config="$config" --workdir="$workdir" \
    --coordinator="localhost:$port" --num-processes=2 --process-id="$k" "$@" &
  processes+=("$!")
done

# the worst of both
worst=0
for process in "${processes[@]}"; do
  status=0
  outlast "$process" || status=$?
  if ((status > worst)); then worst=$status; fi
done
exit "$worst"
