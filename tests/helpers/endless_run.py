"""A training run that ends by a signal alone: `python endless_run.py WORKDIR`."""

import sys

from flowjax_ood.runtime.signals import Interrupted
from tests.helpers.tiny_run import tiny, train

if __name__ == "__main__":
    try:
        train(sys.argv[1], 10**6, tiny("light"), log_every=10, checkpoint_every=10**6)
    except Interrupted as stop:
        print(stop)
        sys.exit(stop.exit_code)
