"""What clients know of their own classes, and notice of others: numbers of a row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core.pixel_gaussian import pixel_gaussian
from experiments.core.systems import labels_of
from experiments.federated.training import FOSTER, PLAIN, Clients
from flowjax_ood import ood
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.federated import Rounds
from flowjax_ood.ood.detectors.logits import energy, msp

# test images of classes that the client does not have, but others do
NEAR = "other clients' classes"
SCORES = {"MSP": msp, "energy": energy}
# what the command is judged by, said before any number was seen
MAIN = ("MSP", NEAR)


def row_of(
    run: Rounds, test: ImageSet, others: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Measures of every client: accuracy, AUROCs, and lengths of features."""
    classes = [np.flatnonzero(count) for count in run.federation.counts]
    found = {"test": list(_outputs(run, test.images))}
    found |= {name: list(_outputs(run, x)) for name, x in others.items()}
    labels, clients = labels_of(test), []
    for client, own in enumerate(classes):
        features, logits = found["test"][client]
        inside = np.isin(labels, own)
        right = own[logits.argmax(1)] == labels
        length = np.linalg.norm(features, axis=1)
        areas = {}
        for name, function in SCORES.items():
            # of whole sets: of parts, every client would have shapes of its own
            scores = {n: np.asarray(function(of[client][1])) for n, of in found.items()}
            of_test = scores.pop("test")
            areas[name] = _areas(of_test[inside], {NEAR: of_test[~inside]} | scores)
        clients.append(
            {
                "classes": own.tolist(),
                "images": len(run.federation.parts[client]),
                "accuracy": float(right[inside].mean()),
                "feature_norm": {
                    "own": float(length[inside].mean()),
                    NEAR: float(length[~inside].mean()),
                },
                "auroc": areas,
            }
        )
    return {"clients": clients, "last_round": run.log[-1]}


def _outputs(run: Rounds, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`(features, logits of own classes)` of every client."""
    features = None
    for client in range(len(run.federation.parts)):
        network = run.network(client)
        # where bodies are shared, they are computed once
        if features is None or not run.state.shared:
            features = network.collect(x).features
        assert network.head is not None  # of any client
        w, b = network.head
        yield features, features @ w + b


def pixels_of(
    clients: Clients, test: ImageSet, others: Mapping[str, np.ndarray]
) -> dict[str, list]:
    """The same of a Gaussian of each client's pixels, without any network."""
    found = []
    for part in clients.parts:
        own = np.unique(labels_of(clients.train)[part])
        inside = np.isin(labels_of(test), own)
        sets = {"own": test.images[inside], NEAR: test.images[~inside], **others}
        scores = pixel_gaussian(clients.train.images[part], sets)
        areas = _areas(scores.pop("own"), scores)
        found.append({"auroc": dict.fromkeys(SCORES, areas)})
    return {"clients": found}


def _areas(own: np.ndarray, others: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: ood.auroc(own, scores).value for name, scores in others.items()}


def summary(by_seed: Sequence[Mapping[str, dict]]) -> list[dict]:
    """Means of rows over seeds, and differences to PLAIN that are paired by client.

    `by_seed`: `{row: row_of(...)}` of each seed. A seed's value is the mean over its
    clients; intervals are Student's, over seeds.
    """
    rows = []
    for name in by_seed[0]:
        measured = [seed[name]["clients"] for seed in by_seed]
        plain = [seed[PLAIN]["clients"] for seed in by_seed]
        row: dict[str, Any] = {"name": name, "auroc": {}, "difference": {}}
        if "accuracy" in measured[0][0]:
            values = [[c["accuracy"] for c in clients] for clients in measured]
            base = [[c["accuracy"] for c in clients] for clients in plain]
            row["accuracy"] = interval(np.mean(values, axis=1))
            row["accuracy_difference"] = compared(values, base)
        for score in SCORES:
            areas, apart = row["auroc"], row["difference"]
            areas[score], apart[score] = {}, {}
            for of in measured[0][0]["auroc"][score]:
                values = [[c["auroc"][score][of] for c in m] for m in measured]
                base = [[c["auroc"][score][of] for c in m] for m in plain]
                areas[score][of] = interval(np.mean(values, axis=1))
                apart[score][of] = compared(values, base)
        rows.append(row)
    return rows


def compared(values, base) -> dict:
    """Differences `[seeds][clients]`: their mean, its interval, and how many gain."""
    apart = np.asarray(values) - np.asarray(base)
    return interval(apart.mean(axis=1)) | {
        "gain": int((apart > 0).sum()),
        "clients": int(apart.size),
        "by_client": apart.tolist(),
    }


def interval(by_seed: np.ndarray) -> dict:
    """`{mean, low, high, seeds}`; no ends where there is one seed."""
    values = np.asarray(by_seed, float)
    low = high = None
    if len(values) > 1:
        _, low, high = ood.mean_ci(values)
    return {
        "mean": float(values.mean()),
        "low": low,
        "high": high,
        "seeds": values.tolist(),
    }


def verdict(rows: Sequence[Mapping]) -> str:
    """What may be claimed of generated outliers, by `MAIN` alone."""
    score, of = MAIN
    found = next(r for r in rows if r["name"] == FOSTER)["difference"][score][of]
    if found["low"] is None:
        return "one seed says nothing of the spread"
    if found["low"] > 0:
        return "a gain over local heads"
    if found["high"] < 0:
        return "a loss against local heads"
    return "no gain over local heads that the interval over seeds shows"


def traffic(clients: Clients) -> dict[str, int]:
    """Bytes that a client sends, or gets, in a round: of float32."""
    federation = clients.federation()
    state = jax.eval_shape(federation.start)

    def size(tree) -> int:
        return sum(4 * int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))

    return {
        "shared_layers": size(state.shared),
        "head": size(state.private[0]),
        "generator": size(state.generator.params),
    }
