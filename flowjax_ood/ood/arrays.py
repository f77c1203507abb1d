"""Arrays of any framework, as NumPy arrays that sums can be trusted with."""

from typing import Any

import numpy as np


def as_numpy(array: Any, what: str) -> np.ndarray:
    """Return real numbers of any framework as NumPy floats of 32 bits or more.

    NumPy, JAX, torch (on any device, also those that require gradients), and whatever
    speaks `__array__` or DLPack. Floats of fewer bits, which NumPy would also average
    in fewer, and integers become float32; float32 and float64 stay as they are, and are
    not copied. `what` is named by errors: TypeError for what are no real numbers.
    """
    for method in ("detach", "cpu"):
        if hasattr(array, method):
            array = getattr(array, method)()
    if str(getattr(array, "dtype", "")) == "torch.bfloat16":
        array = array.float()  # which NumPy has no type for
    own = isinstance(array, list | tuple) or hasattr(array, "__array__")
    if not own and hasattr(array, "__dlpack__"):
        array = np.from_dlpack(array)
    try:
        array = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{what} must be an array, got {type(array).__name__}: {error}"
        ) from error
    # of ml_dtypes, bfloat16 and 8 bits are of NumPy's kind for "other"
    narrow = array.dtype.kind in "iu" or array.dtype.name.startswith(
        ("float16", "bfloat16", "float8")
    )
    if narrow:
        return array.astype(np.float32)
    if array.dtype.kind != "f":
        raise TypeError(f"{what} must be real numbers, got dtype {array.dtype}")
    return array
