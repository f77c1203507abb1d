"""The base of all detectors: `fit(network, given)`, then `score(x)`."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import jax
import numpy as np
from jax.tree_util import Partial

from flowjax_ood.ood import checks
from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.calibration import Calibrated, Calibration, Side
from flowjax_ood.ood.given import Given, Requires, fitted_inputs
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.settings import Range, check_settings, ranges_of
from flowjax_ood.ood.summaries import Summary

# what a detector is fitted to, and what it scores: a `Network` and `Outputs`, or a flow
# and `FlowOutputs`
Net = TypeVar("Net")
Out = TypeVar("Out")


@dataclass(frozen=True, eq=False)
class Fitted(Generic[Out]):
    """A fitted detector: `score(x) -> [N]`, higher = more in-distribution.

    `network` is the one it was fitted to; for ensembles, all of them. If `of_outputs`,
    `function` is a pytree (`jax.tree_util.Partial`) of `Outputs -> [B]`, so that one
    forward pass serves many detectors; else `(x [N, ...], batch_size) -> [N]`, made of
    compiled programs. `chosen` holds the settings chosen by validation data, for the
    record.
    """

    name: str
    requires: Requires
    network: Any
    function: Callable[..., Any] = field(repr=False)
    of_outputs: bool = True
    chosen: dict[str, Any] = field(default_factory=dict)

    def score(self, x, batch_size: int = 250) -> np.ndarray:
        """Score inputs `[N, ...]`: float32 `[N]`. Raises ValueError where one is NaN.

        `batch_size`: at most so many go through the network at a time; of their
        outputs, more may be scored together.
        """
        if self.of_outputs:
            checks.check_inputs(self.network, x, "inputs")
            return self.score_outputs(self.network.collect(x, batch_size), batch_size)
        several = isinstance(self.network, tuple)
        for network in self.network if several else (self.network,):
            checks.check_inputs(network, x, "inputs")
        return self.checked(self.function(x, batch_size))

    def score_outputs(self, outputs: Out, batch_size: int = 250) -> np.ndarray:
        """Score inputs by their outputs: float32 `[N]`. Raises as `score` does.

        Raises TypeError for a detector that needs the inputs themselves.
        """
        if not self.of_outputs:
            raise TypeError(f"{self.name} needs inputs, not outputs: use score(x)")
        if not isinstance(outputs, Outputs):
            raise TypeError(
                f"score_outputs takes Outputs, got {type(outputs).__name__}: of "
                "inputs, score(x); of arrays, Outputs.of(logits, features)"
            )
        checked = Outputs.of(*outputs)
        if self.requires.not_negative:
            checks.check_not_negative(checked, self.name)
        read, rows = _read(self.function, checked, batch_size)
        return self.checked(in_batches(partial(_apply, self.function), read, rows))

    def calibrated(
        self,
        images,
        side: Side = "low",
        given: Given | None = None,
        batch_size: int = 250,
    ) -> Calibrated:
        """Calibrate by in-distribution inputs of no training: p-values, decisions.

        `given`: what the detector was fitted to. Where it is here and holds inputs,
        those are told from `images` by their bytes: scores of what a detector was
        fitted to are too high, and p-values by them too small.

        Raises ValueError for images that are known, and as `score` does.
        """
        known = {} if given is None else fitted_inputs(self.requires, given)
        for what, inputs in known.items():
            remedy = "calibrate by others"
            checks.check_disjoint(images, inputs, self.name, what, remedy)
        scores = self.score(images, batch_size)
        return Calibrated(self, Calibration.fit(scores, side))

    def checked(self, scores: np.ndarray) -> np.ndarray:
        """Return scores `[N]` as float32. Raises ValueError where one is NaN."""
        bad = np.isnan(scores)
        if bad.any():
            raise ValueError(
                f"{self.name} has no score for {bad.sum()} of {len(bad)} inputs, the "
                f"first is number {int(np.argmax(bad))}: the network's activations, or "
                f"what is computed of them, are NaN or infinite there; {checks.REMEDY}"
            )
        return np.asarray(scores, np.float32)


@dataclass(frozen=True)
class Staged:
    """A score of inputs in two stages: `(x, batch_size) -> [N]`, for `Fitted.function`.

    `measure(x, batch_size)`, arrays of N rows, runs the network and is the same for all
    settings in a grid, so `Tuned` measures once; `finish(measured, batch_size)` scores.
    """

    measure: Callable[..., Any]
    finish: Callable[..., Any]

    def __call__(self, x, batch_size):
        return self.finish(self.measure(x, batch_size), batch_size)


# numbers of an array that scores of a batch may make on their way: 16 MiB
MANY = 2**22


def _read(function, outputs: Outputs, batch_size: int) -> tuple[Outputs, int]:
    """Return the parts of outputs that a score reads, and how many rows at a time.

    Calls cost more than rows: as many as make arrays of `MANY` numbers, each at most as
    wide as the widest array there is, and at least `batch_size`.
    """
    of_outputs = getattr(function, "func", None)
    if not isinstance(of_outputs, _OfOutputs):
        return outputs, batch_size
    fields: dict[str, Any] = dict.fromkeys(Outputs._fields)
    fields |= {name: getattr(outputs, name) for name in of_outputs.parts}
    read = Outputs(**fields)
    arrays = jax.tree.leaves((read, function))
    widest = max(size for a in arrays for size in _axes(a, len(outputs.logits)))
    return read, max(batch_size, MANY // widest)


def _axes(array, rows: int) -> tuple[int, ...]:
    """The sizes of an array, without that of the rows scored; 1 at least."""
    shape = np.shape(array)
    return (1, *(shape[1:] if shape[:1] == (rows,) else shape))


@compiled
def _apply(function, outputs):
    return function(outputs)


@dataclass(frozen=True)
class _OfOutputs:
    function: Callable[..., Any]
    parts: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, outputs, **arrays):
        parts = (getattr(outputs, name) for name in self.parts)
        return self.function(*parts, **arrays, **dict(self.settings))


def score_of(function: Callable[..., Any], *parts: str, settings=(), **arrays):
    """`outputs -> function(*parts of the outputs, **settings, **arrays)`, a `Partial`.

    It compares and hashes by all but the arrays: fits of other numbers share a program.
    `settings`, a dictionary, are static: what shapes or branches depend on.
    """
    static = tuple(dict(settings).items())
    return Partial(_OfOutputs(function, parts, static), **arrays)


class Detector(Generic[Net, Out]):
    """Base of the detectors: frozen dataclasses of hyper-parameters.

    A detector of outputs defines `prepared(network, given)`, all others `fit`; what it
    takes of training outputs, `summaries` where a pass over batches will do. `grid`:
    `{setting: values}` that `Tuned` chooses among, those of published searches.
    `ranges` names the values that its fields may have; ValueError for others.
    """

    label: str
    grid: ClassVar[dict[str, tuple]] = {}
    ranges: ClassVar[Mapping[str, Range]] = ranges_of()
    # `validated_by_outputs`: whether validation data may be `Outputs`
    if TYPE_CHECKING:
        # subclasses are dataclasses
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

        # class attributes of most detectors, properties of others
        @property
        def requires(self) -> Requires: ...
        @property
        def validated_by_outputs(self) -> bool: ...
    else:
        requires, validated_by_outputs = Requires(), False

    def __post_init__(self):
        check_settings(self, self.ranges, type(self).__name__)

    @property
    def name(self) -> str:
        """The field `label`, or what a detector without one is called."""
        return self.label

    def prepared(self, network: Net, given: Given) -> Callable[[Out], Any]:
        """Fit, and return the score as a function of `Outputs` to `[B]`: `score_of`."""
        raise NotImplementedError(f"{type(self).__name__} must define prepared or fit")

    def summaries(self, network: Net) -> tuple[Summary, ...] | None:
        """List what `prepared` takes of training outputs, by `given.summary` alone.

        So the detector can be fitted to a stream; None needs all outputs at once.
        """
        return None

    def fit(self, network: Net, given: Given | None = None) -> Fitted[Out]:
        """Fit to a network and data. ValueError where what it `requires` is missing."""
        given = Given() if given is None else given
        self.check(network, given)
        function = self.prepared(network, given)
        return Fitted(self.name, self.requires, network, function)

    def check(self, network: Net, given: Given) -> None:
        """Raise ValueError or TypeError where something that it `requires` is missing.

        What is there is checked as well: training outputs are finite, labels go with
        them, the network's head gives their logits.
        """
        if not isinstance(network, Network) or not isinstance(given, Given):
            raise TypeError(
                f"{self.name}: fit(network, given) takes a Network and a Given, got "
                f"{type(network).__name__} and {type(given).__name__}; of a function, "
                "Network(lambda _, x: (taps, logits))"
            )
        r, missing = self.requires, []
        streamed = given.summaries is not None
        if r.train_data and given.train is None and not streamed:
            missing.append("train, the outputs of training images")
        if r.train_inputs and given.train_inputs is None:
            missing.append("train_inputs, the training images themselves")
        if r.labels and given.labels is None and not streamed:
            missing.append("labels, the classes of those")
        if r.ood_validation and (
            given.ood_validation is None or given.id_validation is None
        ):
            missing.append("id_validation and ood_validation, inputs to choose by")
        if r.id_labels and (given.id_validation is None or given.id_labels is None):
            missing.append("id_validation and id_labels, the classes of those")
        if r.id_validation and given.id_validation is None and not r.ood_validation:
            missing.append("id_validation, in-distribution inputs of no training")
        if missing:
            raise ValueError(f"{self.name} needs {' and '.join(missing)}")
        if r.head and network.head is None:
            raise ValueError(f"{self.name} needs network.head, the last layer's (W, b)")
        if r.gradients and network.apply is None:
            raise ValueError(
                f"{self.name} needs network.apply, a function to take gradients of: "
                "saved outputs will not do"
            )
        needed = {
            "id_validation": r.id_validation or r.ood_validation or r.id_labels,
            "ood_validation": r.ood_validation,
        }
        for name in needed:
            x = getattr(given, name)
            if x is None:
                continue
            if not isinstance(x, Outputs):
                checks.check_inputs(network, x, name)
            elif needed[name] and not self.validated_by_outputs:
                raise TypeError(
                    f"{self.name} needs {name} as inputs [N, ...], got Outputs: those "
                    "will do for Tuned detectors of outputs alone"
                )
        if isinstance(given.train, Outputs):
            self.check_train(network, given.train, given.labels)
        elif given.train is not None and r.train_data:
            raise TypeError(
                f"{self.name} needs Given.train as Outputs, of network.collect(images);"
                f" got {type(given.train).__name__}, which scores of a flow take"
            )

    def check_train(self, network: Network, train: Outputs, labels) -> None:
        """Raise where training outputs and labels are not as the detector needs."""
        r = self.requires
        if r.train_data:
            checks.check_finite(train, self.name)
        if r.labels and labels is None:
            raise ValueError(f"{self.name} needs labels with every batch: (x, labels)")
        if r.labels:
            classes = train.logits.shape[1] if r.class_numbers else None
            checks.check_labels(labels, len(train.logits), classes)
        if r.head:
            checks.check_head(network.head, train, self.name)
        if r.not_negative:
            checks.check_not_negative(train, self.name)
