"""What detectors are fitted to: `Given` data, of which one takes what it `Requires`."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowjax_ood.ood.flows.outputs import FlowOutputs
from flowjax_ood.ood.network import Outputs
from flowjax_ood.ood.summaries import Summary


@dataclass(frozen=True)
class Requires:
    """The needs of a detector besides the trained network.

    * `train_data`: the network's outputs on training inputs; `train_inputs`: these
      inputs themselves; `labels`: their classes;
    * `class_numbers`: labels that are the numbers of the logits, 0 ... C-1, where
      others may be any integers;
    * `id_validation`: in-distribution inputs of no training, also needed wherever
      `ood_validation`, outliers to choose by, or `id_labels`, classes of the former,
      are;
    * `head`: the weights of the last layer; `gradients`: a network that JAX can
      differentiate; `retraining`: networks trained anew;
    * `not_negative`: features without values below 0;
    * `sklearn`: scikit-learn, an extra of this library.
    """

    train_data: bool = False
    train_inputs: bool = False
    labels: bool = False
    ood_validation: bool = False
    gradients: bool = False
    retraining: bool = False
    head: bool = False
    class_numbers: bool = False
    not_negative: bool = False
    id_labels: bool = False
    sklearn: bool = False
    id_validation: bool = False


@dataclass(frozen=True, eq=False)
class Given:
    """Data that detectors may be fitted on; a detector takes of it what it `requires`.

    `train`: outputs of in-distribution training images, with their `labels [N]`.
    `id_validation`, `ood_validation`: inputs `[M, ...]` to choose by; the second are
    real outliers or, where nothing may be known of those, synthetic ones. `id_labels
    [M]`: the classes of the first.
    Scores of a flow take `FlowOutputs` as `train` and `id_validation`.
    `train_inputs`: training inputs themselves, for detectors that look at activations
    or gradients which `Outputs` do not hold; labels are theirs, too.

    Raises TypeError for `train` that are not `Outputs`, and as `Outputs.of` does.
    """

    train: Outputs | FlowOutputs | None = None
    labels: np.ndarray | None = None
    # inputs, or outputs of either kind: what the detector takes, and `check` asks for
    id_validation: Any = None
    ood_validation: Any = None
    seed: int = 0
    train_inputs: np.ndarray | None = None
    id_labels: np.ndarray | None = None
    # of a stream, in place of `train`: made by `fit_stream`
    summaries: Mapping[Summary, Any] | None = field(default=None, repr=False)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if self.train is None or isinstance(self.train, FlowOutputs):
            return
        if not isinstance(self.train, Outputs):
            raise TypeError(
                f"Given.train must be Outputs, got {type(self.train).__name__}: of "
                "images, network.collect(images); of arrays, Outputs.of(logits, "
                "features)"
            )
        object.__setattr__(self, "train", Outputs.of(*self.train))

    def summary(self, summary: Summary) -> Any:
        """Give what a detector needs of training outputs, one of its `summaries`.

        Gathered once for all detectors that are fitted to these data.
        """
        if self.summaries is not None:
            return self.summaries[summary]
        train: Any = self.train
        return self.once(summary, lambda: summary.of(train, self.labels, self.seed))

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Make something of these data at the first call with this key, and keep it."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def fitted_inputs(requires: Requires, given: Given) -> dict[str, np.ndarray]:
    """Give the inputs that are at hand of those a detector was fitted to."""
    found = {
        "training images (Given.train_inputs)": given.train_inputs,
        "training images (Given.train)": given.train,
    }
    if requires.id_validation or requires.ood_validation or requires.id_labels:
        name = "validation images (Given.id_validation)"
        found[name] = given.id_validation
    inputs: dict[str, Any] = {
        what: value.events if isinstance(value, FlowOutputs) else value
        for what, value in found.items()
    }
    # `Outputs` have no inputs
    return {what: x for what, x in inputs.items() if hasattr(x, "dtype")}
