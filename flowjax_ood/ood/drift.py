"""Drift in a stream of scores: an alarm that is false with a known probability.

Every score is ranked among those before it. While all are exchangeable, these p-values
are independent and uniform, and bets against that do not pay; wealth is evidence. Low
scores, which are unusual, have small p.
"""

import hashlib
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.ood.betting import (
    POWERS,
    TILTS,
    even_shares,
    jumper_payoffs,
    log_mean,
    play,
    power_payoffs,
)
from flowjax_ood.ood.calibration import check_conditional, simes
from flowjax_ood.ood.p_values import low_ranks
from flowjax_ood.ood.thresholds import check_scores

# calibration scores a monitor needs: the first p-values are of these alone
LEAST_CALIBRATED = 20
# scores that are ranked among each other in one list
AT_ONCE = 10_000


class DriftState(NamedTuple):
    """All a monitor remembers, in NumPy arrays: a pytree.

    `np.savez(file, **state._asdict())` saves it, `DriftState(**np.load(file))` brings
    it back bit for bit. `digests [2, 16]` of the monitor's settings and the detector's
    name; `earlier`, ascending, the scores that new ones are ranked among, `calibrated`
    of them calibration scores; `steps`, scores since the start; shares of the wealth by
    bet, and `log_wealths [2]` of power bets and jumper; `cusum`, the log of that
    statistic; `alarm_at`, -1 before the first alarm.
    """

    digests: np.ndarray
    earlier: np.ndarray
    calibrated: np.ndarray
    steps: np.ndarray
    power_shares: np.ndarray
    jumper_shares: np.ndarray
    log_wealths: np.ndarray
    cusum: np.ndarray
    alarm_at: np.ndarray


class DriftReport(NamedTuple):
    """What an update of m scores found.

    `p [m]` and `log_wealth [m]`, after each score; `alarm_at`: which score since the
    start rang the first alarm, 1 the first of all, in this update or before; None if
    none has. `cusum [m]`: log of that statistic; None without `restart="cusum"`.
    """

    p: np.ndarray
    log_wealth: np.ndarray
    alarm_at: int | None
    cusum: np.ndarray | None


@dataclass(frozen=True)
class DriftMonitor:
    """Bet on scores as they come: P(any alarm ever) <= 1 / alarm without drift.

    `betting`: "power", strong where low scores come, which lose wealth by high ones;
    "jumper", either way, slow where few scores change; "both", the mean wealth.

    `reference`, what a score is ranked among:

    * "growing": calibration scores and the stream so far, ties by a draw of `seed` and
      the step: `p_t = (#{earlier < s_t} + u_t (#{earlier = s_t} + 1)) / (n + t)`. Exact
      for exchangeable scores. After a change it takes in what is new, so a slow change
      may escape;
    * "fixed": the calibration scores alone, for independent scores. Their error is paid
      for: p-values are `Calibration.p_values(..., "simes", delta)`, for power bets
      alone, and P(any alarm ever) <= 1 / alarm + delta.

    `alarm`: rings where the wealth, 1 at the start, reaches it. `restart="cusum"`:
    where `R_t = max(1, R_{t-1}) wealth_t / wealth_{t-1}` reaches it. A change is then
    found late as fast as early, while wealth dwindles in a long time without; but there
    are alarms without drift in the end, after `run_length` scores or more on average.

    Alarms are of any change of order: a stream sorted by class is one. What has the
    same scores as before is not seen.

    Sources: Vovk et al. 2021, "Retrain or not retrain"; Volkhonskiy et al. 2017 and
    Vovk 2021 for CUSUM.

    Raises ValueError for other names, alarm of 1 or less, delta outside (0, 1), a seed
    that is no whole number from 0 on, and other bets than "power" with "fixed".
    """

    betting: Literal["power", "jumper", "both"] = "power"
    reference: Literal["growing", "fixed"] = "growing"
    alarm: float = 100.0
    delta: float = 0.05
    restart: Literal["cusum"] | None = None
    seed: int = 0

    def __post_init__(self):
        for name, known in (
            ("betting", ("power", "jumper", "both")),
            ("reference", ("growing", "fixed")),
            ("restart", (None, "cusum")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, known))}, got "
                    f"{getattr(self, name)!r}"
                )
        if not 1 < self.alarm < math.inf:
            raise ValueError(
                f"alarm must be finite and above 1, the wealth at the start, got "
                f"{self.alarm!r}: at 100, one stream in a hundred without drift rings"
            )
        whole_number("seed", self.seed, 0)
        check_conditional(LEAST_CALIBRATED, self.delta)
        if self.reference == "fixed" and self.betting != "power":
            raise ValueError(
                f'betting={self.betting!r} is not valid with reference="fixed": it '
                'wins by large p-values, which are corrected upwards; use "power"'
            )

    @property
    def false_alarm_bound(self) -> float | None:
        """P(any alarm, ever, without drift) is at most this; None by CUSUM: no bound.

        1 / alarm; of a fixed reference delta more, for the calibration sets that are
        not typical.
        """
        if self.restart == "cusum":
            return None
        paid = self.delta if self.reference == "fixed" else 0.0
        return min(1.0, 1 / self.alarm + paid)

    @property
    def run_length(self) -> float | None:
        """Scores until an alarm without drift, on average, by CUSUM: at least `alarm`.

        Of a fixed reference, for all but a share delta of calibration sets. None
        without `restart`, where most streams never ring.
        """
        return self.alarm if self.restart == "cusum" else None

    def start(self, calibration_scores, detector: str = "") -> DriftState:
        """Begin with n held-out in-distribution scores, made by a `detector`: its name.

        Raises TypeError or ValueError as `check_scores` does, and for fewer than 20.
        """
        scores = check_scores("calibration_scores", calibration_scores)
        if len(scores) < LEAST_CALIBRATED:
            raise ValueError(
                f"a monitor needs {LEAST_CALIBRATED} calibration scores, got "
                f"{len(scores)}"
            )
        return DriftState(
            digests=self._digests(detector),
            earlier=np.sort(scores),
            calibrated=np.array(len(scores)),
            steps=np.array(0),
            power_shares=np.array(even_shares(len(POWERS))),
            jumper_shares=np.array(even_shares(len(TILTS))),
            log_wealths=np.zeros(2),
            cusum=np.array(0.0),
            alarm_at=np.array(-1),
        )

    def update(
        self, state: DriftState, scores, detector: str = ""
    ) -> tuple[DriftState, DriftReport]:
        """Take the next m >= 1 scores, in their order: a new state, and what was found.

        All at once or one by one is the same, bit for bit. The given state stays as it
        is, also where this raises: TypeError or ValueError as `check_scores` does,
        ValueError for the state of a monitor of other settings or another detector.
        """
        self.check(state, detector)
        scores = check_scores("scores", scores)
        p, earlier = self._p_values(state, scores)
        values = p.tolist()
        before = self._wealth(*state.log_wealths.tolist())
        power, jumper = state.log_wealths.tolist()
        powers, jumpers = [power] * len(values), [jumper] * len(values)
        power_shares = state.power_shares.tolist()
        jumper_shares = state.jumper_shares.tolist()
        if self.betting != "jumper":
            powers, power_shares = play(values, power_payoffs, power_shares, power)
        if self.betting != "power":
            jumpers, jumper_shares = play(values, jumper_payoffs, jumper_shares, jumper)
        wealth = [self._wealth(a, b) for a, b in zip(powers, jumpers, strict=True)]
        cusum = _cusum(wealth, before, float(state.cusum))
        rung = np.array(cusum if self.restart else wealth) >= math.log(self.alarm)
        steps, alarm_at = int(state.steps), int(state.alarm_at)
        if alarm_at < 0 and rung.any():
            alarm_at = steps + 1 + int(np.argmax(rung))
        new = state._replace(
            earlier=earlier,
            steps=np.array(steps + len(scores)),
            power_shares=np.array(power_shares),
            jumper_shares=np.array(jumper_shares),
            log_wealths=np.array([powers[-1], jumpers[-1]]),
            cusum=np.array(cusum[-1]),
            alarm_at=np.array(alarm_at),
        )
        report = DriftReport(
            p,
            np.array(wealth),
            None if alarm_at < 0 else alarm_at,
            np.array(cusum) if self.restart else None,
        )
        return new, report

    def _wealth(self, power: float, jumper: float) -> float:
        if self.betting == "both":
            return log_mean(power, jumper)
        return power if self.betting == "power" else jumper

    def _p_values(self, state: DriftState, scores) -> tuple[np.ndarray, np.ndarray]:
        """p-values `[m]`, and the scores that the next ones are ranked among."""
        earlier = state.earlier
        if self.reference == "fixed":
            table = simes(len(earlier), self.delta)
            return table[low_ranks(scores, earlier) - 1], earlier
        below, equal = np.empty((2, len(scores)), np.int64)
        for start in range(0, len(scores), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            below[part], equal[part] = _ranks(scores[part], earlier)
            at = np.searchsorted(earlier, scores[part])
            order = np.argsort(scores[part], kind="stable")
            earlier = np.insert(earlier, at[order], scores[part][order])
        steps = int(state.steps)
        count = int(state.calibrated) + steps + np.arange(1, len(scores) + 1)
        # number t of the generator's stream: of the seed and t alone
        generator = np.random.PCG64(self.seed).advance(steps)
        u = 1 - np.random.Generator(generator).random(len(scores))
        return (below + u * (equal + 1)) / count, earlier

    def _digests(self, detector: str) -> np.ndarray:
        # equal numbers of other types are equal settings
        numbers = float(self.alarm), float(self.delta), self.seed
        settings = self.betting, self.reference, self.restart, *numbers
        parts = (repr(settings), detector)
        digests = (hashlib.blake2b(p.encode(), digest_size=16).digest() for p in parts)
        return np.stack([np.frombuffer(d, np.uint8) for d in digests])

    def check(self, state: DriftState, detector: str = "") -> None:
        """Raise ValueError for a state of other settings, or of another detector."""
        settings, name = (self._digests(detector) == state.digests).all(1)
        if not settings:
            raise ValueError(
                f"this state is of a monitor of other settings than {self!r}: go on "
                "with the one that started it, or start anew"
            )
        if not name:
            raise ValueError(
                f"this state is of another detector's scores than {detector!r}: every "
                "detector has a state of its own, by start(scores, detector=name)"
            )


def _ranks(scores: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many are below each score and equal to it, of `earlier` and those before."""
    below = np.searchsorted(earlier, scores, side="left")
    equal = np.searchsorted(earlier, scores, side="right") - below
    seen: list[float] = []
    for i, score in enumerate(scores.tolist()):
        first, last = bisect_left(seen, score), bisect_right(seen, score)
        seen.insert(last, score)
        below[i] += first
        equal[i] += last - first
    return below, equal


def _cusum(wealth: list[float], before: float, statistic: float) -> list[float]:
    """`log R_t = max(0, log R_{t-1}) + log wealth_t - log wealth_{t-1}`."""
    found = []
    for now in wealth:
        statistic = max(0.0, statistic) + (now - before)
        before = now
        found.append(statistic)
    return found
