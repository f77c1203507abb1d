"""What two CPU devices make of a classifier's steps; run by test_step_classifier.py."""

import sys

import jax

if __name__ == "__main__":
    # before the backend starts
    jax.config.update("jax_num_cpu_devices", 2)

import numpy as np

from flowjax_ood.evaluation.accuracy import predict_logits
from flowjax_ood.runtime.parallel import MODES, Parallel
from flowjax_ood.training.augment import crop_flip
from flowjax_ood.training.batches import batches_with_outliers
from flowjax_ood.training.classifier_objectives import CrossEntropy, OutlierExposure
from flowjax_ood.training.optimizers import make_optimizer
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_classifier import TinyClassifier, batch, images, labels

KEY = jax.random.key(3, impl="threefry2x32")


def steps(parallel: Parallel, norm: bool, outliers: bool) -> dict[str, np.ndarray]:
    """State and metrics after three steps with augmentation."""
    objective = (OutlierExposure if outliers else CrossEntropy)(
        TinyClassifier(norm=norm), augment=crop_flip
    )
    optimizer = make_optimizer(
        0.1, name="sgd", clip_norm=0, l2=1e-3, scales_apart=False
    )
    batches = [batch(range(8 * k, 8 * k + 8)) for k in range(3)]
    if outliers:
        of = batches_with_outliers(images(), labels(), 255 - images(), 8, 4, seed=0)
        batches = [of(k) for k in range(3)]
    step = parallel.wrap_step(make_train_step(objective, optimizer))
    state = create_state(objective.module, optimizer, jax.random.key(0), images(1))
    state = parallel.place_state(state)
    for one in batches:
        state, metrics = step(state, parallel.place_batch(one), KEY)
    found = (parallel.global_state(state), metrics)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(found)
    }


def main(output: str) -> None:
    assert jax.device_count() == 2
    one = Parallel("jit", jax.devices()[:1])
    found = {}
    for kind, norm, outliers in (
        ("plain", False, False),
        ("norm", True, False),
        ("outliers", False, True),
        ("norm and outliers", True, True),
    ):
        ways = {"one": one} | {mode: Parallel(mode) for mode in MODES}
        for name, parallel in ways.items():
            for key, value in steps(parallel, norm, outliers).items():
                found[f"{kind} {name}/{key}"] = value
    module = TinyClassifier(norm=True)
    variables = module.init(KEY, np.float32(images(1)))
    for name, parallel in {"none": None, "one": one, "two": Parallel("jit")}.items():
        logits = predict_logits(module, variables, images(13), 5, parallel=parallel)
        found[f"predicted {name}/logits"] = logits
    np.savez(output, **found)


if __name__ == "__main__":
    main(sys.argv[1])
