"""Typicality of groups of inputs that are known to be of one kind."""

from dataclasses import dataclass, field

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import generator
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import check_outputs
from flowjax_ood.ood.p_values import low_p

GROUPS = 2000
# calibration inputs for each input of a group, and in all, at least
CALIBRATED_EACH, LEAST_CALIBRATED = 10, 100


@dataclass(frozen=True, eq=False)
class GroupTypicality:
    """A test of groups of `size` inputs: see `group_typicality`.

    `mean`: nats, of calibration inputs; `threshold`: scores below it are alarms.
    """

    flow: ScoredFlow = field(repr=False)
    size: int
    alpha: float
    mean: float
    threshold: float
    bootstrap: np.ndarray = field(repr=False)

    def score(self, events, batch_size: int = 250) -> np.ndarray:
        """Score groups `[G, M, *shape]`: float64 `[G]`, higher = more typical.

        Raises ValueError for groups of another size, and as `ScoredFlow.check` does.
        """
        events = np.asarray(events)
        self._check(events.shape[:2])
        flat = events.reshape(-1, *events.shape[2:])
        log_prob = self.flow.collect(flat, batch_size).log_prob
        return self.of_log_prob(log_prob.reshape(events.shape[:2]))

    def of_log_prob(self, log_prob) -> np.ndarray:
        """Score groups by log-densities `[G, M]`, nats: float64 `[G]`."""
        log_prob = np.asarray(log_prob, np.float64)
        self._check(log_prob.shape)
        if np.isnan(log_prob).any():
            bad = np.isnan(log_prob).any(1)
            raise ValueError(
                f"{bad.sum()} of {len(bad)} groups hold log-densities that are NaN, the"
                f" first is number {int(bad.argmax())}"
            )
        return -np.abs(log_prob.mean(1) - self.mean)

    def p_values(self, scores) -> np.ndarray:
        """`(1 + #{bootstrap scores <= score}) / (B + 1)`: at most alpha in alarms."""
        return low_p(scores, self.bootstrap)

    def alarms(self, scores) -> np.ndarray:
        """Tell which scores are below the threshold: bool `[G]`."""
        return np.asarray(scores) < self.threshold

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or shape[1] != self.size or not shape[0]:
            raise ValueError(
                f"groups must be [G, {self.size}, ...], G at least 1, as the test was "
                f"made for; got [{', '.join(map(str, shape))}, ...]"
            )


def group_typicality(
    flow: ScoredFlow,
    calibration: FlowOutputs,
    size: int,
    alpha: float = 0.05,
    seed: int = 0,
    groups: int = GROUPS,
) -> GroupTypicality:
    """`-|mean of M log-densities - m|`, and a threshold of it by a bootstrap.

    m is the mean over calibration inputs. Groups of M of those are drawn, with
    replacement; a share alpha of them is below the threshold, or a little less. New
    in-distribution groups are below a little more often, as m has an error: 0.066 of
    them in place of 0.05, where there are 10 M normal log-densities; less with more.
    Source: Nalisnick et al. 2019, algorithm 1, where m is of training images.

    Args:
        flow: what the groups are scored by.
        calibration: outputs of in-distribution inputs that no flow was trained on, at
            least 100, and 10 for each of a group.
        size: M, at least 2; of single inputs, `Typicality`.
        alpha: the share of false alarms, at least `1 / (groups + 1)`.
        seed: of the bootstrap, not negative.
        groups: how many are drawn.

    Raises:
        ValueError: too few calibration inputs, or one without a finite log-density; M
            below 2; alpha out of range.
        TypeError: calibration that is no `FlowOutputs`.
    """
    remedy = ": of single inputs, ood.Typicality"
    size = whole_number("size", size, 2, remedy)
    groups = whole_number("groups", groups, least=1)
    seed = whole_number("seed", seed, least=0)
    check_outputs(flow, calibration, "calibration", "group typicality")
    least = max(CALIBRATED_EACH * size, LEAST_CALIBRATED)
    if len(calibration) < least:
        raise ValueError(
            f"groups need {least} calibration inputs, {LEAST_CALIBRATED} and "
            f"{CALIBRATED_EACH} for each of a group; got {len(calibration)}: take more "
            "inputs, or smaller groups"
        )
    log_prob = calibration.log_prob
    rank = int(np.floor(alpha * (groups + 1) + 1e-9))
    if not 1 <= rank <= groups:
        raise ValueError(
            f"alpha must be in [{1 / (groups + 1):.3g}, 1), as far as {groups} groups "
            f"can tell; got {alpha}"
        )
    mean = log_prob.mean()
    rows = generator(seed, "groups").integers(len(log_prob), size=(groups, size))
    scores = np.sort(-np.abs(log_prob[rows].mean(1) - mean))
    # the p-value of what is below is at most rank / (groups + 1)
    threshold = float(scores[rank - 1])
    return GroupTypicality(flow, size, alpha, float(mean), threshold, scores)
