"""Normalizing flows on images and honest out-of-distribution detection, in JAX.

Unrelated to the library `flowjax`.
"""

__version__ = "0.2.0"
