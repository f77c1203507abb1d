"""How every test compiles, here and in the processes that tests start."""

import os

# XLA's optimisation passes cost more than they save on programs this small
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
