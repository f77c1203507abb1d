"""A training run that something happens to: `python faulty_run.py FAULT WORKDIR`.

Or `... WORKDIR HOST:PORT NUMBER`, as one of two processes.

Ten steps, a checkpoint every four. FAULT is one of

* `killed`: in the middle of the second save;
* `killed-late`: just before that checkpoint gets its name;
* `killed-sending`: when half of that checkpoint is in a bucket;
* `full`: after the first save the disk takes no file of more than 3,000 bytes.
"""

import os
import resource
import signal
import sys

import jax

fault, workdir, *others = sys.argv[1:]
if others:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(others[0], 2, int(others[1]))

from flowjax_ood.runtime.parallel import Parallel  # noqa: E402
from flowjax_ood.runtime.paths import BucketPath  # noqa: E402
from flowjax_ood.training.checkpoints import manifest  # noqa: E402
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError  # noqa: E402
from tests.helpers.tiny_run import tiny, train  # noqa: E402

write, saves = manifest.write, []


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def sealing(path):
    """What is called once the arrays are on disk, before they get their name."""
    saves.append(path)
    if len(saves) == 2 and fault in ("killed", "killed-late"):
        if fault == "killed-late":
            write(path)
        kill()
    write(path)
    if fault == "full":
        # refused by the kernel from here on: larger files than this
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


upload, sent = BucketPath.upload, []


def sending(path, file):
    upload(path, file)
    # files are sent side by side: those that have arrived
    if len(saves) == 2:
        sent.append(path)
    if len(sent) >= 4 and fault == "killed-sending":
        kill()


BucketPath.upload = sending
manifest.write = sealing
try:
    train(workdir, 10, tiny("light"), parallel=Parallel("jit"))
except CheckpointError as error:
    print(error)
    sys.stdout.flush()
    # as the commands do: JAX would wait for the other process
    os._exit(2)
