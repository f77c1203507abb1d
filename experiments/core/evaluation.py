"""A trained flow, and the likelihoods of sets under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.build import rows
from experiments.core.data_identity import keep_data
from experiments.core.keys import BASELINES, Kind, kind
from experiments.core.results import (
    likelihood_results,
    over_draws,
    ranking,
    vector_results,
    versions,
)
from experiments.core.run_config import check_hosts, read_config
from experiments.core.sets import Sets, drawn_rows, load_sets
from flowjax_ood import ood
from flowjax_ood.data.dequantize import dequantize, example_keys, quantize
from flowjax_ood.distributions import ClassMixture, Flow, denoise, one_hot_condition
from flowjax_ood.evaluation.batch_statistics import recompute_batch_stats
from flowjax_ood.evaluation.likelihood import (
    Likelihoods,
    evaluate_class_log_joint,
    evaluate_likelihood,
)
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.interface.text import run_name
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch, on_all
from flowjax_ood.runtime.progress import progress
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.checkpoints.errors import CheckpointError
from flowjax_ood.training.early_stopping import restore_best
from flowjax_ood.training.loop import Run
from flowjax_ood.training.state import parameter_count

MAHALANOBIS, NEIGHBORS = BASELINES


@dataclass(frozen=True, eq=False)
class TrainedFlow:
    """A trained flow, with the variables that its reported likelihoods come from.

    `restore` reads it from a workdir; `training_run.train` returns the flow it trained.
    Flow and variables are made when they are first asked for. Of several processes, all
    have to ask for `variables`: each computes a part of every batch.
    """

    workdir: Path
    config: ConfigDict
    sets: Sets
    run: Run  # its state, and how long training took
    label: str  # names it where progress is shown

    @classmethod
    def restore(
        cls, workdir: Path, overrides: Sequence[str] = (), label: str = ""
    ) -> "TrainedFlow":
        """Read the newest checkpoint of a run, or its best by a validation set.

        Args:
            workdir: directory of the run.
            overrides: `a.b=value` for keys of its config that `evaluate` may set.
            label: by default, the workdir's name.

        Raises:
            UserError: if there is no run, an override is refused, the data are missing,
                or they are not those of the training.
            CheckpointError: if there is no checkpoint to read.
        """
        config = read_config(workdir, overrides)
        if kind(config).classifies:
            raise UserError(
                f"{workdir} holds {config.model.name}, a classifier of `detect`, and "
                "this command is for flows; give the workdir of a flow"
            )
        check_hosts(config)
        # a host without the data would keep the others waiting
        sets = on_all(lambda: load_sets(config, workdir))
        if (workdir / "data.json").exists():
            keep_data(sets.train, workdir, sets.negative, **sets.other_arrays)
        template = build.state_template(config, sets)
        state, facts = _restored(workdir / "checkpoints", template)
        if "validation" in facts:
            state = restore_best(workdir, template, facts["validation"])
        run = Run(state, **facts)
        return cls(workdir, config, sets, run, label or run_name(workdir))

    @cached_property
    def flow(self) -> Flow:
        """The flow in float32, as likelihoods are reported."""
        return build.flow(self.config, self.sets.event_shape)

    @cached_property
    def running(self) -> dict:
        """Variables as training left them: batch norm's running averages lag behind."""
        return _of_this_process(self.run.state.variables())

    @cached_property
    def variables(self) -> dict:
        """Variables of reported likelihoods: batch norm's statistics are recomputed.

        They are over `eval.recompute_batches` training batches; of negative training,
        these hold both kinds of images. Without batch norm, the same as `running`.
        """
        if not self.batch_norm:
            return self.running
        return _of_this_process(_with_recomputed_statistics(self))

    @property
    def batch_norm(self) -> bool:
        return bool(self.running.get("batch_stats"))

    @property
    def step(self) -> int:
        return int(self.run.state.step)

    def score(
        self,
        events: np.ndarray,
        label: str,
        *,
        flow: Flow | None = None,
        variables: dict | None = None,
        draw: int = 0,
    ) -> Likelihoods:
        """Likelihoods of events, as `Sets.inputs` gives them.

        Args:
            events: stored images `[N, H, W, C]`, or standardised vectors `[N, D]`.
            label: of the progress shown.
            flow: scores instead of `self.flow`, such as the same in bfloat16.
            variables: are used instead of `self.variables`.
            draw: of the dequantisation noise; its seed is `eval.seed + draw`.
        """
        return evaluate_likelihood(
            self.flow if flow is None else flow,
            self.variables if variables is None else variables,
            events,
            label=label,
            **self._passes(draw),
        )

    def class_log_joint(self, events: np.ndarray, label: str) -> np.ndarray:
        """`log p(x, y)` of every class of a flow that is conditioned: `[N, K]` nats."""
        flow, how = self.flow, self._passes()
        assert isinstance(flow, ClassMixture)  # as a conditioned one is
        return evaluate_class_log_joint(
            flow, self.variables, events, label=label, **how
        )

    def _passes(self, draw: int = 0) -> dict:
        """How the flow runs over sets."""
        c = self.config.eval
        return {
            "key": build.random_key(c.seed + draw),
            "batch_size": c.batch_size,
            # a global view: batch norm does not act in evaluation
            "parallel": Parallel("jit"),
            "bins": self.sets.bins,
        }

    def cleaned(self, variables: dict, images: jax.Array) -> jax.Array:
        """Samples without the noise of `data.noise`, if any; pure."""
        noise = self.config.data.get("noise", 0.0)
        return denoise(self.flow, variables, images, noise) if noise else images

    def refuse_classes(self, why: str) -> None:
        """Raise UserError, with this reason, for a flow conditioned on classes."""
        if self.sets.classes:
            raise UserError(
                f"{self.workdir} holds a flow of {self.sets.classes} classes "
                f"(config.data.classes), and {why}"
            )

    def likelihoods(self, label: str = "", **how) -> dict[str, Likelihoods]:
        """`{set: Likelihoods}` of the test set and every OOD set; `how` as in `score`.

        `label` is put after the flow's own.
        """
        label = self.label + label
        return {
            name: self.score(
                self.sets.inputs(events), f"{label}: likelihood of {name}", **how
            )
            for name, events in self.sets.scored.items()
        }

    def samples(self, count: int, seed: int, temperature: float = 1.0) -> np.ndarray:
        """Draw float32 images `[count, H, W, C]`, clipped to [0, 1].

        Of other than 8-bit images, they are quantised as those are.
        """
        sample = jax.jit(
            lambda v, key, temperature: self.flow.apply(
                v, key, count, temperature, method="sample"
            )
        )
        images = sample(self.variables, jax.random.key(seed), temperature)
        images = jax.jit(self.cleaned)(self.variables, images)
        if (bins := self.sets.bins) != 256:
            return self.sets.pictures(np.asarray(quantize(images, bins)))
        return np.clip(np.asarray(images), 0, 1)


def _restored(directory: Path, template) -> tuple[Any, dict]:
    """`(state, facts)` of the newest checkpoint, however often it is replaced.

    A run that trains removes old checkpoints, maybe the one that is being read: then
    there is a newer one.
    """
    tried = None
    while True:
        with Checkpoints(directory) as checkpoints:
            newest = checkpoints.latest_step()
            try:
                return checkpoints.restore(template)
            except CheckpointError:
                # several processes would not all look again
                if newest in (tried, None) or jax.process_count() > 1:
                    raise
        # another one by now, or the same failure again
        tried = newest


def _with_recomputed_statistics(trained: TrainedFlow) -> dict:
    config, c = trained.config, trained.config.eval
    key = build.random_key(c.seed)
    training = build.batches(config, trained.sets, c.seed)
    parallel = Parallel("jit")
    transfer = parallel.place_rows
    if rows(config, trained.sets) % len(parallel.devices):
        # trained on other devices: each of these computes all of it
        transfer = parallel.place_copies

    def batches():
        label = f"{trained.label}: batch statistics"
        with progress(label, c.recompute_batches, "batches") as shown:
            for step in range(c.recompute_batches):
                batch = training(step)
                noise = jax.random.fold_in(key, step)
                x = dequantized(batch["image"], noise, trained.sets.bins)
                classes = trained.sets.classes
                yield (x, one_hot_condition(batch["label"], classes)) if classes else x
                shown.advance(step + 1)

    variables = parallel.place_copies(trained.running)
    return recompute_batch_stats(trained.flow, variables, batches(), transfer)


class Evaluated(NamedTuple):
    """A flow with its likelihoods, `{set: Likelihoods}`, and its results.json."""

    trained: TrainedFlow
    likelihoods: dict[str, Likelihoods]
    results: dict


def evaluate(trained: TrainedFlow) -> Evaluated:
    """Score all sets of a trained flow.

    With batch norm, likelihoods come from statistics recomputed over training data,
    and `results["running_statistics"]` are those by the running ones. The likelihoods,
    and all results but AUROC, are of the first of `eval.draws`. Of vectors, which need
    no draws, results hold nats, and detectors without a flow.
    """
    config, sets, run = trained.config, trained.sets, trained.run
    id_name = sets.test.name
    extra: dict[str, Any] = {}
    if trained.batch_norm:
        likelihoods = trained.likelihoods(", running stats", variables=trained.running)
        extra["running_statistics"] = likelihood_results(likelihoods, id_name)
    likelihoods = trained.likelihoods()
    if sets.kind is Kind.VECTORS:
        assert sets.standardizer is not None  # vectors always have one
        measured = vector_results(likelihoods, id_name, sets.standardizer)
        remedy = "leave them out: --config.eval.baselines="
        with user_errors("config.eval.baselines", ValueError, remedy=remedy):
            extra["baselines"] = baseline_results(config, sets)
    else:
        draws = [likelihood_results(likelihoods, id_name)]
        for draw in range(1, config.eval.draws):
            label = f", draw {draw + 1} of {config.eval.draws}"
            other = trained.likelihoods(label, draw=draw)
            draws.append(likelihood_results(other, id_name))
        measured = over_draws(draws)
    if sets.validation is not None:
        by = config.train.validate_by
        extra["validation"] = {"statistic": by, **(run.validation or {})}
    if sets.negative is not None:
        extra["told"] = list(sets.exposed)
    if config.data.get("dequantization") == "variational":
        extra["dequantization"] = "variational"
    if noise := config.data.get("noise", 0.0):
        extra["noise"] = noise
    if sets.classes:
        extra["classification"] = _classification(trained)
    results = {
        "data": sets.describe(),
        "in_distribution": id_name,
        **measured,
        **extra,
        "train_seconds": run.seconds,
        "images_per_second": run.images_per_second if run.images else None,
        "images_seen": trained.step * config.train.batch_size,
        "steps": trained.step,
        "params": parameter_count(run.state.params),
        "eval": config.eval.to_dict(),
        "versions": versions(),
    }
    return Evaluated(trained, likelihoods, results)


def _classification(trained: TrainedFlow) -> dict:
    """Accuracy by Bayes' rule on the test set, None where it has no such labels."""
    from scipy.stats import binomtest

    sets, config = trained.sets, trained.config
    found = {"classes": sets.classes, "condition": config.data.condition}
    labels = sets.test.labels
    # labels of other classes than those of training are no answer to be right about
    if labels is None or labels.max() >= sets.classes or labels.min() < 0:
        return found | {"accuracy": None}
    what = f"{trained.label}: classes of {sets.test.name}"
    joint = trained.class_log_joint(sets.inputs(sets.test), what)
    right = joint.argmax(1) == labels
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return found | {
        "accuracy": float(right.mean()),
        "accuracy_ci95": [interval.low, interval.high],
    }


def _of_this_process(variables: dict) -> dict:
    """Arrays that each of several processes can use by itself, to draw samples, say."""
    return fetch(variables) if jax.process_count() > 1 else variables


def dequantized(images: np.ndarray, key: jax.Array, bins: int) -> jax.Array:
    """Stored images `[B, H, W, C]` with fresh dequantisation noise, in [0, 1)."""
    return dequantize(images, example_keys(key, np.arange(len(images))), bins)


def baseline_results(config: ConfigDict, sets: Sets) -> dict:
    """Rank by detectors without a flow, `{detector: {"auroc": {set: value}, ...}}`.

    They are fitted on the training vectors as the flow sees them, on
    `eval.limit_baselines` of them drawn by the seed (0: all). Mahalanobis once with one
    Gaussian for all and, where there are labels of several classes, once with one mean
    a class; nearest neighbours once as the vectors are, once of vectors scaled to
    length 1, which suits embeddings, and leaves only the direction of a table's row.
    """
    c = config.eval
    if not c.baselines:
        return {}
    train, labels = sets.inputs(sets.train), sets.train.labels
    at = drawn_rows(len(train), c.limit_baselines, config.seed)
    train, labels = train[at], None if labels is None else labels[at]
    scored = {name: sets.inputs(events) for name, events in sets.scored.items()}
    results = {}
    for name, detector, notes in _detectors(c, train, labels):
        scores = {n: np.asarray(detector.score(x)) for n, x in scored.items()}
        results[name] = ranking(scores, sets.test.name)
        results[name] |= {"fitted_on": len(train), **notes}
    return results


def _detectors(c: ConfigDict, train: np.ndarray, labels: np.ndarray | None):
    """Yield `(name, fitted detector, facts)` of every detector asked for."""
    if MAHALANOBIS in c.baselines:
        yield MAHALANOBIS, ood.Mahalanobis.fit(train), {}
        classes = 0 if labels is None else len(np.unique(labels))
        if classes > 1:
            detector = ood.Mahalanobis.fit(train, labels)
            yield f"{MAHALANOBIS}_classes", detector, {"classes": classes}
    if NEIGHBORS in c.baselines:
        k = min(c.neighbors, len(train))
        for name, normalize in ((NEIGHBORS, False), (f"{NEIGHBORS}_unit", True)):
            neighbors = ood.NearestNeighbors.fit(train, k=k, normalize=normalize)
            yield name, neighbors, {"k": k}
