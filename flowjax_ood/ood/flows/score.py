"""The base of scores of a trained flow: `fit(flow, given)`, then `score(images)`."""

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from flowjax_ood.ood import checks
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.given import Given

Score = Callable[[FlowOutputs], np.ndarray]
# calibration images for a mean or for ranks: of 19, the least p-value is 0.05
LEAST_CALIBRATED = 20
# equal numbers differ by rounding of float32, relative to their size
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class FittedScore(Fitted[FlowOutputs]):
    """A fitted score of a flow: `score(images) -> float64 [N]`, higher = more ID.

    `function` takes `FlowOutputs`, so that one forward pass serves many scores.
    """

    network: ScoredFlow
    # of outputs that are still there
    _known: MutableMapping[FlowOutputs, np.ndarray] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def score(self, x, batch_size: int = 250) -> np.ndarray:
        return self.score_outputs(self.network.collect(x, batch_size))

    def score_outputs(self, outputs: FlowOutputs, batch_size: int = 250) -> np.ndarray:
        if not isinstance(outputs, FlowOutputs):
            raise TypeError(
                f"score_outputs takes FlowOutputs, got {type(outputs).__name__}: of "
                "images, score(images)"
            )
        check_made_by(self.network, outputs, "these")
        return self.checked(self.function(outputs))

    def score_once(self, outputs: FlowOutputs) -> np.ndarray:
        """`score_outputs`, remembered for as long as these outputs are kept.

        Read-only, for what several combinations are made of. The outputs must not be
        changed.
        """
        if outputs not in self._known:
            scores = self.score_outputs(outputs)
            scores.setflags(write=False)
            self._known[outputs] = scores
        return self._known[outputs]

    def checked(self, scores: np.ndarray) -> np.ndarray:
        """Return scores as float64 `[N]`. Raises ValueError where one is NaN."""
        scores = np.asarray(scores, np.float64)
        bad = np.isnan(scores)
        if bad.any():
            raise ValueError(
                f"{self.name} has no score for {bad.sum()} of {len(bad)} events, the "
                f"first is number {int(np.argmax(bad))}: the flow's latents or log-"
                "density, or what is computed of them, are NaN there"
            )
        return scores


class FlowScore(Detector[ScoredFlow, FlowOutputs]):
    """Base of the scores of a flow: frozen dataclasses that define `prepared`.

    `prepared(flow, given)` returns a function of `FlowOutputs`. `given.train`:
    `FlowOutputs` of reference images, in-distribution; `given.id_validation`: those of
    other in-distribution images that no flow was trained on, to calibrate by.

    `low_share`: the share of false alarms that a two-sided test gives to low scores: 1
    where only they are unusual, 0.5 where high ones are as telling (a likelihood), 0.8
    of distances, which mostly grow. `passes`: the cost of an image, in passes of the
    flow. `of_images`: has no meaning for vectors.
    """

    if TYPE_CHECKING:
        # class attributes of most scores, properties of others
        @property
        def low_share(self) -> float: ...
        @property
        def passes(self) -> float: ...
        @property
        def of_images(self) -> bool: ...
    else:
        low_share, passes, of_images = 1.0, 1.0, False

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        raise NotImplementedError(f"{type(self).__name__} must define prepared")

    def calibration_rows(self, count: int, seed: int = 0) -> np.ndarray:
        """Which of `count` calibration images p-values of this score are taken by.

        All of them, but of scores that are fitted to some of them: integers `[n]`, in
        order. `seed`: that of `Given`.
        """
        return np.arange(count)

    def fit(self, network: ScoredFlow, given: Given | None = None) -> FittedScore:
        """Fit to a flow and data. ValueError where what it `requires` is missing."""
        given = Given() if given is None else given
        self.check(network, given)
        function = self.prepared(network, given)
        return FittedScore(self.name, self.requires, network, function)

    def fit_once(self, network: ScoredFlow, given: Given) -> FittedScore:
        """`fit`, at the first call with these data; then what was fitted.

        A score that does not require calibration images sees none, so that it is one
        with all halves of them; one that cannot be hashed is fitted each time.
        """
        if not self.requires.id_validation and given.id_validation is not None:
            given = given.once(
                (FlowScore, "without calibration"),
                lambda: replace(given, id_validation=None),
            )
        try:
            key = FlowScore, "fitted", network, self
            hash(key)
        except TypeError:
            return self.fit(network, given)
        return given.once(key, lambda: self.fit(network, given))

    def check(self, network: ScoredFlow, given: Given) -> None:
        """Raise ValueError or TypeError where something that it `requires` is missing.

        Reference and calibration images are finite `FlowOutputs` of this flow. Of a
        score that is calibrated, no image is both.
        """
        if not isinstance(network, ScoredFlow) or not isinstance(given, Given):
            raise TypeError(
                f"{self.name}: fit(flow, given) takes a ScoredFlow and a Given, got "
                f"{type(network).__name__} and {type(given).__name__}; of a trained "
                "flow, ood.ScoredFlow(flow, variables)"
            )
        if self.of_images and not network.of_images:
            raise ValueError(
                f"{self.name} is a score of images, and this flow's events are of shape"
                f" {network.shape}"
            )
        needed = {
            "train": (self.requires.train_data, "reference images"),
            "id_validation": (self.requires.id_validation, "calibration images"),
        }
        for name, (wanted, meaning) in needed.items():
            value = getattr(given, name)
            if wanted and value is None:
                raise ValueError(
                    f"{self.name} needs Given({name}=flow.collect(...)), {meaning}"
                )
            if value is not None:
                check_outputs(network, value, f"Given.{name}", self.name)
        if self.requires.id_validation and given.train is not None:
            self._check_disjoint(given)

    def _check_disjoint(self, given: Given) -> None:
        """Raise ValueError for calibration images that are reference images, too."""

        def make() -> None:
            held_out = calibration(given, 0, self.name)
            known = reference(given, 0, self.name)
            checks.check_disjoint(
                held_out.events,
                known.events,
                *(self.name, "reference images"),
                "leave them out of Given.id_validation",
            )

        given.once((FlowScore, "disjoint"), make)


class WrappingScore(FlowScore):
    """Base of scores that are made of one other score, their field `of`."""

    of: FlowScore

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.of, FlowScore):
            raise TypeError(
                f"{type(self).__name__} takes a score of a flow, got "
                f"{type(self.of).__name__}"
            )


def check_outputs(network: ScoredFlow, value, what: str, name: str) -> None:
    """Raise TypeError or ValueError unless they are finite outputs of this flow.

    `what` they are, and the `name` of what is fitted to them, are for messages.
    """
    if not isinstance(value, FlowOutputs):
        raise TypeError(
            f"{what} must be FlowOutputs, got {type(value).__name__}: of images, "
            "flow.collect(images)"
        )
    if value.events.shape[1:] != network.shape:
        raise ValueError(
            f"{what} is of events of shape {value.events.shape[1:]}, this flow's "
            f"are {network.shape}"
        )
    check_made_by(network, value, what)
    bad = ~np.isfinite(value.log_prob)
    if bad.any():
        raise ValueError(
            f"{name} cannot be fitted: {bad.sum()} of the {len(bad)} examples of "
            f"{what} have no finite log-density, the first is number "
            f"{int(bad.argmax())}"
        )


def check_made_by(network: ScoredFlow, value: FlowOutputs, what: str) -> None:
    """Raise ValueError where outputs are known to be of a flow with other variables."""
    if value.made_by and value.made_by != network.digest:
        raise ValueError(
            f"{what} are outputs of another flow: its variables are others; make them "
            "anew by flow.collect(images)"
        )


def shared_passes(scores: Iterable[FlowScore]) -> float:
    """What several scores of one image cost: the first pass is shared, others not."""
    costs = [score.passes for score in scores]
    return min(1.0, max(costs)) + sum(max(0.0, cost - 1) for cost in costs)


def reference(given: Given, least: int, name: str) -> FlowOutputs:
    """Return the reference outputs; ValueError for fewer than `least`."""
    return _at_least(given.train, least, name, "reference images, Given.train")


def calibration(given: Given, least: int, name: str) -> FlowOutputs:
    """Return the calibration outputs; ValueError for fewer than `least`."""
    what = "calibration images, Given.id_validation"
    return _at_least(given.id_validation, least, name, what)


def check_varies(values: np.ndarray, what: str, name: str) -> None:
    """Raise ValueError where a score is equal on all calibration images."""
    finite = values[np.isfinite(values)]
    spread = np.ptp(finite) if len(finite) else 0.0
    alike = len(finite) in (0, len(values))
    if alike and spread <= ROUNDING * np.abs(finite).max(initial=0.0):
        raise ValueError(
            f"{name} cannot be fitted: {what} is {values[0]:.6g} for all {len(values)} "
            "calibration images, Given.id_validation: give images that differ"
        )


def drawn(outputs: FlowOutputs, count: int, seed: int) -> FlowOutputs:
    """Draw at most `count` of them by a seed; they stay in order."""
    if len(outputs) <= count:
        return outputs
    chosen = np.random.default_rng(seed).permutation(len(outputs))[:count]
    return outputs.rows(np.sort(chosen))


def _at_least(outputs: Any, least: int, name: str, what: str) -> FlowOutputs:
    if len(outputs) < least:
        raise ValueError(f"{name} needs {least} {what}; got {len(outputs)}")
    return outputs
