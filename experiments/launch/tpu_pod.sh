#!/usr/bin/env bash
# A run on a slice of a TPU pod: the same command on every host of it.
#
#   export TPU=flows ZONE=us-west4-a SHARE=10.0.0.2:/runs REPOSITORY=https://...
#   pod() { bash experiments/launch/tpu_pod.sh "$@"; }
#
#   pod create         ask for the slice
#   pod state          of that request, until it is ACTIVE
#   pod install        on every host: the shared storage, Python, JAX, this repository
#   pod run CONFIG NAME [--config.KEY=VALUE ...]
#   pod log [HOST]     what host 0 says, or another; Ctrl-C ends looking, not the run
#   pod status NAME
#   pod stop           save and stop; the same `run` goes on
#   pod delete
#
# Before: gcloud is logged in and has a project with a quota of TPUs
# (`gcloud auth login`, `gcloud config set project`), and a bucket
# (`gcloud storage buckets create gs://BUCKET`). REPOSITORY is cloned on every host: a
# URL that needs no password. IDX files may be in the bucket, too: copy them by
# `gcloud storage cp *-ubyte.gz gs://BUCKET/data/`, and give
# --config.data.source=idx --config.data.path=gs://BUCKET/data.
#
# With, where they are not the defaults:
#   TYPE=v5litepod-16 RUNTIME=v2-alpha-tpuv5-lite   (v6e-16: RUNTIME=v2-alpha-tpuv6e)
#   SPOT=yes          cheaper, and may be taken away at any time
#   MOUNT=/mnt/runs   where every host mounts an export; runs are in MOUNT/NAME
#
# SHARE outlives the slice, and all hosts see it: a bucket, SHARE=gs://BUCKET/DIR, whose
# runs are in SHARE/NAME and which the hosts' service account may write; or an NFS
# export, of Filestore, say. A bucket that is mounted (gcsfuse) is no place for a run:
# metrics are appended line by line, and a workdir is locked.
#
# Preemption: a Spot slice is gone for good, and its request SUSPENDED. Its hosts are
# shut down within half a minute, in which the run saves if it can; if not, the last
# checkpoint counts (config.train.checkpoint_every). Then delete, create, install, run.
#
# The log of each host ends with the exit status of the run: 0 done; 143 stopped, all
# saved, run again to resume; 75 or 134 another host is gone, run again on all; 2 will
# not work by running it again, read the message.
set -euo pipefail

usage() {
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

: "${TPU:?the name of the slice: export TPU=...}" "${ZONE:?its zone: export ZONE=...}"
TYPE=${TYPE:-v5litepod-16}
RUNTIME=${RUNTIME:-v2-alpha-tpuv5-lite}
MOUNT=${MOUNT:-/mnt/runs}
case "${SHARE:-}" in
gs://*) RUNS=${SHARE%/} ;; # not mounted
*://*) echo "SHARE=$SHARE: give gs://BUCKET/DIR or HOST:/PATH" >&2; exit 2 ;;
*) RUNS=$MOUNT ;;
esac

shared() {
  : "${SHARE:?a bucket or an NFS export: export SHARE=gs://BUCKET/DIR or HOST:/PATH}"
}

on() { # WORKER COMMAND
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker="$1" --command="$2"
}

installing() {
  cat <<END
set -e
sudo apt-get -q update && sudo apt-get -q install -y git nfs-common
$(mounting)
[ -d ~/flowjax_ood ] || git clone $REPOSITORY ~/flowjax_ood
cd ~/flowjax_ood && git pull --ff-only
# the Python of the hosts may be older than 3.11
curl -LsSf https://astral.sh/uv/install.sh | sh
~/.local/bin/uv venv --allow-existing --python 3.11 .venv
~/.local/bin/uv pip install -e '.[buckets]' 'jax[tpu]'
END
}

mounting() {
  [[ $RUNS == gs://* ]] && return
  cat <<END
sudo mkdir -p $MOUNT
mountpoint -q $MOUNT || sudo mount -t nfs $SHARE $MOUNT
sudo chown "\$USER" $MOUNT
END
}

running() { # CONFIG NAME [--config.KEY=VALUE ...]
  local workdir=$RUNS/$2
  # quoted, as they are read once more by the shell of each host
  local config=${1@Q} place=${workdir@Q}
  shift 2
  cat <<END
cd ~/flowjax_ood && source .venv/bin/activate
python -m experiments train --config=$config --workdir=$place --distributed ${*@Q}
echo "exit status \$?"
END
}

[[ $# -gt 0 ]] || usage
what=$1
shift
case "$what" in
create)
  gcloud compute tpus queued-resources create "$TPU" --node-id="$TPU" --zone="$ZONE" \
    --accelerator-type="$TYPE" --runtime-version="$RUNTIME" ${SPOT:+--spot}
  ;;
state)
  gcloud compute tpus queued-resources describe "$TPU" --zone="$ZONE" \
    --format="value(state.state)"
  ;;
install)
  shared
  : "${REPOSITORY:?what to clone: export REPOSITORY=https://...}"
  on all "$(installing)"
  ;;
run)
  [[ $# -ge 2 ]] || usage
  shared
  # detached: it goes on when the connection ends
  on all "cat > ~/train.sh <<'SCRIPT'
$(running "$@")
SCRIPT
setsid nohup bash ~/train.sh > ~/train.log 2>&1 < /dev/null & sleep 1"
  ;;
log)
  on "${1:-0}" "tail -n 50 -F ~/train.log"
  ;;
status)
  [[ $# -eq 1 ]] || usage
  shared
  on 0 "cd ~/flowjax_ood && source .venv/bin/activate
python -m experiments status --workdir=$RUNS/$1"
  ;;
stop)
  # the brackets keep the pattern from finding the shell it is in
  on all "pkill -TERM -f '[p]ython -m experiments train' || true"
  ;;
delete)
  gcloud compute tpus queued-resources delete "$TPU" --zone="$ZONE" --force --quiet
  ;;
*)
  usage
  ;;
esac
