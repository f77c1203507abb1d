"""`python -m experiments COMMAND ...`: the door to all experiments."""

import sys

from flowjax_ood.interface import environment

if __name__ == "__main__":
    with environment.interrupts_end():
        from experiments.cli import run
        from experiments.core import distributed
        from flowjax_ood.interface import streams
    streams.outlive()
    environment.use_all_cores()
    environment.use_own_canvas()
    environment.keep_freed_memory()
    environment.ignore_closed_loops()
    distributed.leave(lambda: streams.finished(run(sys.argv[1:])))
