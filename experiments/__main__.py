"""`python -m experiments COMMAND ...`: the door to all experiments."""

import sys

from experiments.cli import run
from experiments.core import distributed
from experiments.core.environment import (
    ignore_closed_loops,
    keep_freed_memory,
    use_all_cores,
    use_own_canvas,
)

if __name__ == "__main__":
    use_all_cores()
    use_own_canvas()
    keep_freed_memory()
    ignore_closed_loops()
    distributed.leave(lambda: run(sys.argv[1:]))
