"""A detector as one StableHLO program, which runs without this library or Flax."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from flowjax_ood.novelty.calibration import with_tolerance
from flowjax_ood.novelty.detector import NoveltyDetector
from flowjax_ood.novelty.features import Features

PLATFORMS = ("cpu", "cuda", "tpu")


def exported(
    detector: NoveltyDetector,
    features: Features | None,
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Serialise `*examples -> (p_value [B], score [B], statistics [B, J])`.

    Examples are uint8 images `[B, H, W, C]`, an array for each view of the features, or
    float32 vectors `[B, D]` where `features` is None; B may be any number. Read it with
    `jax.export.deserialize(...).call(*examples)`. Raises ValueError for a platform that
    JAX does not know, ImportError without the package flatbuffers.
    """
    try:
        import flatbuffers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to export a detector takes the package flatbuffers: pip install "
            "'flowjax_ood[export]'"
        ) from error
    calibration = detector.calibration
    known = [
        jnp.asarray(np.sort(of.scores), jnp.float32)
        for of in (calibration.of_all, calibration.of_distinct)
    ]
    model, variables = detector.model, features.variables() if features else {}

    def decide(*examples):
        # accelerators multiply float32 in fewer bits unless told otherwise
        with jax.default_matmul_precision("highest"):
            x = features.apply(variables, examples) if features else examples[0]
            score, statistics = model.both(x)
        raised = with_tolerance(score)
        p = [
            (1 + jnp.searchsorted(scores, raised, side="right")) / (len(scores) + 1)
            for scores in known
        ]
        return jnp.maximum(*p), score, statistics

    (batch,) = export.symbolic_shape("b")
    kinds: list[tuple[tuple[int, ...], Any]] = [((detector.dims,), jnp.float32)]
    if features:
        kinds = [(shape, jnp.uint8) for shape in features.shapes]
    examples = [jax.ShapeDtypeStruct((batch, *shape), kind) for shape, kind in kinds]
    program = export.export(jax.jit(decide), platforms=tuple(platforms))(*examples)
    return bytes(program.serialize())
