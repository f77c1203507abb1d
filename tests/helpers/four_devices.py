"""Scores of detectors on one device and on four, written to an `.npz` for
test_batched.py.

A process of its own, because the number of CPU devices is set before JAX starts:
`python four_devices.py OUTPUT.npz`.
"""

import sys
from dataclasses import replace

import jax

jax.config.update("jax_num_cpu_devices", 4)
# one program at a time: programs in flight together can starve each other's
# collectives, which the search for neighbours has, of threads
jax.config.update("jax_cpu_enable_async_dispatch", False)

import numpy as np  # noqa: E402

from flowjax_ood import ood  # noqa: E402
from flowjax_ood.ood.batched import spread  # noqa: E402
from flowjax_ood.runtime import processes  # noqa: E402
from flowjax_ood.runtime.parallel import Parallel  # noqa: E402
from tests.helpers.blobs import (  # noqa: E402
    LABELS,
    NETWORK,
    TEST,
    TRAIN,
    VALIDATION,
    features_of,
    grey,
)

# neither divides by four, nor one by the other
COUNT, BATCH = 85, 30


def sample(variables, x, key):
    """Logits with dropout."""
    _, dense = features_of(x)
    kept = jax.random.bernoulli(key, 0.7, dense.shape)
    return (dense * kept) @ variables["w"] + variables["b"]


NETWORKS = [
    replace(NETWORK, sample=sample),
    replace(NETWORK, variables=jax.tree.map(lambda a: 0.9 * a, NETWORK.variables)),
]
MOVING = {"magnitudes": (0.05,)}
DETECTORS = {
    # of the outputs of one pass
    "outputs": ood.MSP(),
    "neighbours": ood.KNN(k=5),
    "class means": ood.MahalanobisFeatures(),
    # of gradients by the inputs
    "odin": ood.ODIN(**MOVING),
    "mahalanobis": ood.MahalanobisLayers(weights="uniform", **MOVING),
    "fssd": ood.FSSD(**MOVING),
    # whose steps depend on 33 inputs together, and whose weights are fitted
    "fssd of a batch": ood.FSSD.repository(magnitudes=(0.05, 0.0), batch_size=33),
    # of several predictions
    "dropout": ood.MCDropout(passes=3),
    "dropout's spread": ood.MCDropout(passes=3, scoring="var"),
    "ensemble": ood.DeepEnsemble(),
}


def scores() -> dict[str, np.ndarray]:
    train = NETWORK.collect(TRAIN, BATCH)
    given = ood.Given(train, LABELS, VALIDATION, grey(60, seed=8))
    found = {"features": train.features}
    for name, detector in DETECTORS.items():
        network = NETWORKS if name == "ensemble" else NETWORKS[0]
        found[name] = detector.fit(network, given).score(TEST[:COUNT], BATCH)
    return found


def main(output: str) -> None:
    parallel, seen = Parallel("jit"), set()
    assert len(parallel.devices) == 4

    def get(tree):
        places = (tuple(a.sharding.device_set) for a in jax.tree.leaves(tree))
        seen.update(len(place) for place in places)
        return processes.fetch(tree)

    found = {f"one/{name}": s for name, s in scores().items()}
    with spread(parallel.place_rows, get, 4):
        found |= {f"four/{name}": s for name, s in scores().items()}
    # or else agreement would mean nothing
    found["devices"] = np.array(sorted(seen))
    np.savez(output, **found)


if __name__ == "__main__":
    main(sys.argv[1])
