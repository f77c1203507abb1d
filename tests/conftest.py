"""How every test compiles, here and in the processes that tests start.

Most of what the tests wait for is XLA, on programs too small to gain by its work:
without its optimisation passes all tests take about half the processor time.
`JAX_DISABLE_MOST_OPTIMIZATIONS=false pytest ...` compiles as users do.
"""

import os
from importlib.metadata import version

QUICK = "JAX_DISABLE_MOST_OPTIMIZATIONS"

# before JAX is imported
if QUICK not in os.environ:
    os.environ[QUICK] = "true"
    # XLA ends a process that sets a flag it does not know: where it is known to be
    if version("jaxlib").startswith("0.10."):
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {given}".strip()
