"""Bets against uniform p-values: wealth that cannot grow while the p-values are so.

A bet is a function of p with mean 1 under uniform p: its product over time is a
martingale, and reaches a with probability at most 1 / a (Ville 1939). Of several bets,
each has a share of the wealth; at every step, 1% of all is spread evenly, so that
a bet that lost for long can win at once (the Simple Jumper of Vovk, Petej,
Nouretdinov, Ahlberg, Carlsson and Gammerman 2021). Shares sum to 1 and the wealth is
kept as its log, so nothing overflows.
"""

import math
from collections.abc import Callable, Iterable

# `e p^(e - 1)`: the lower e, the more it wins by small p
POWERS = (0.2, 0.4, 0.6, 0.8)
# `1 + e (p - 1/2)`: win by small p, never, by large p
TILTS = (-1.0, 0.0, 1.0)
# the share of the wealth that is spread evenly at every step
JUMP = 0.01

Payoffs = Callable[[float], list[float]]


def power_payoffs(p: float) -> list[float]:
    """`e p^(e - 1)` for e in 0.2, 0.4, 0.6, 0.8; p in (0, 1]. All fall in p."""
    log_p = math.log(p)
    return [e * math.exp((e - 1) * log_p) for e in POWERS]


def jumper_payoffs(p: float) -> list[float]:
    """`1 + e (p - 1/2)` for e in -1, 0, 1; p in [0, 1]."""
    return [1 + e * (p - 0.5) for e in TILTS]


def even_shares(count: int) -> list[float]:
    """Shares of the wealth to begin with."""
    return [1 / count] * count


def play(
    p: Iterable[float], payoffs: Payoffs, shares: list[float], log_wealth: float
) -> tuple[list[float], list[float]]:
    """Bet on p-values, one after the other: log-wealth after each, and last shares.

    Plain floats, step by step: how many come at a time changes no bit.
    """
    keep, spread = 1 - JUMP, JUMP / len(shares)
    logs = []
    for value in p:
        staked = [keep * share + spread for share in shares]
        won = [a * b for a, b in zip(staked, payoffs(value), strict=True)]
        factor = sum(won)
        log_wealth += math.log(factor)
        shares = [w / factor for w in won]
        logs.append(log_wealth)
    return logs, shares


def log_mean(a: float, b: float) -> float:
    """`log((e^a + e^b) / 2)`, whatever the size of a and b."""
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high)) - math.log(2)
