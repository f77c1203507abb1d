"""Are the latents of one image a sample of N(0, 1)? Tests of their law and order."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.latents import (
    check_scale,
    described,
    position_shapes,
    rows,
    scale_shapes,
)
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    LEAST_CALIBRATED,
    FlowScore,
    Score,
    calibration,
    check_varies,
)
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, ranges_of


def anderson_darling(z) -> np.ndarray:
    """Anderson-Darling's A^2 of each row, its mean and variance estimated.

    Of a row's D values in ascending order, standardised by their mean and unbiased
    standard deviation, w_1 <= ... <= w_D:
    `A^2 = -D - 1/D sum_i (2i - 1) (log Phi(w_i) + log Phi(-w_(D+1-i)))`.

    Args:
        z: real numbers `[N, D]`, D at least 3.

    Returns:
        float64 `[N]`: large where a row is no Gaussian sample, infinite where it is
        constant, NaN where it holds one. Shifts and scales of z change nothing, nor do
        permutations. Source: Stephens 1974, case 3.
    """
    from scipy.special import log_ndtr

    z = np.asarray(z, np.float64)
    if z.ndim != 2 or z.shape[1] < 3:
        raise ValueError(f"z must be [N, D], D at least 3, got shape {z.shape}")
    count = z.shape[1]
    std = z.std(1, ddof=1)
    # of equal numbers, the mean may be off by a rounding
    constant = z.max(1) == z.min(1)
    w = np.sort(z - z.mean(1, keepdims=True), axis=1)
    w /= np.where(constant, 1, std)[:, None]
    weights = (2 * np.arange(count) + 1) / count
    statistic = -count - (log_ndtr(w) + log_ndtr(-w[:, ::-1])) @ weights
    return np.where(constant, np.inf, statistic)


def variation(power) -> np.ndarray:
    """Unbiased standard deviation by mean of each row: 1 in the mean of white noise.

    `power [N, K]` is not negative. float64 `[N]`; infinite where a row is zero.
    """
    power = np.asarray(power, np.float64)
    mean = power.mean(1)
    silent = mean == 0
    ratio = power.std(1, ddof=1) / np.where(silent, 1, mean)
    return np.where(silent, np.inf, ratio)


def flat_power(outputs: FlowOutputs) -> np.ndarray:
    """`|rfft(z)|^2` of all latents as one signal, channel after channel: `[N, K]`."""
    channels_first = [np.moveaxis(z, -1, 1) for z in outputs.latents]
    signal = [z.reshape(len(z), -1) for z in channels_first]
    return np.abs(np.fft.rfft(np.concatenate(signal, 1).astype(np.float64))) ** 2


def position_power(z: np.ndarray) -> np.ndarray:
    """`|fft2(z)|^2` over positions, by channel, of z `[N, h, w, C]`: `[N, h w C]`."""
    spectrum = np.fft.fft2(z.astype(np.float64), axes=(1, 2))
    return np.abs(spectrum.reshape(len(z), -1)) ** 2


@dataclass(frozen=True)
class AndersonDarling(FlowScore):
    """`-A^2` of the latents of one image, all or those of one scale.

    See `anderson_darling`: it does not see the mean and the spread of z.
    """

    scale: int | None = None
    label: str = ""
    low_share: ClassVar[float] = 0.8

    @property
    def name(self) -> str:
        return self.label or f"Anderson-Darling of {described('latents', self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        shapes = scale_shapes(network)
        chosen = shapes if self.scale is None else [shapes[self.scale]]
        size = sum(math.prod(s) for s in chosen)
        if size < 3:
            raise ValueError(
                f"{self.name} needs 3 latents or more, the flow has {size}"
            )
        return lambda outputs: -anderson_darling(rows(outputs, "latents", self.scale))


@dataclass(frozen=True)
class SpectrumVariation(FlowScore):
    """`-CV` of the power spectrum of z: 1 in the mean where latents are independent.

    Of all scales (None), the spectrum is that of one long signal, as published for
    `SITN`. Of one scale, it is the 2-D spectrum over its positions, for each channel.
    The constant part of z counts in both.
    """

    scale: int | None = None
    label: str = ""
    low_share: ClassVar[float] = 0.8
    of_images: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.label or f"spectrum of {described('latents', self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        position_shapes(network, self.name)
        scale = self.scale
        if scale is None:
            return lambda outputs: -variation(flat_power(outputs))
        return lambda out: -variation(position_power(out.latents[scale]))


@dataclass(frozen=True)
class LatentSpread(FlowScore):
    """`-std(z)` over the latents of one scale: noise widens them, blur narrows them.

    So both sides tell. It is what `AndersonDarling` leaves out.
    """

    scale: int = 0
    label: str = ""
    low_share: ClassVar[float] = 0.5

    @property
    def name(self) -> str:
        return self.label or f"spread of {described('latents', self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        return lambda outputs: -rows(outputs, "latents", self.scale).std(1)


@dataclass(frozen=True)
class SITN(FlowScore):
    """`-max(F(A^2), F(CV))`: signal in the noise, in [-1, 0].

    A^2 is Anderson-Darling's statistic of all latents of an image, CV the variation of
    the power spectrum of all as one signal, F the shares of calibration images whose
    value is no larger. Images beyond all calibration images in one of the two tie at
    -1. ValueError for fewer than 20 of them, and where one of the two is the same for
    all. Source: "Signal in the noise", arXiv 2605.22496, and its code.
    """

    label: str = "SITN"
    requires: ClassVar[Requires] = Requires(id_validation=True)
    of_images: ClassVar[bool] = True

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        position_shapes(network, self.name)
        held_out = calibration(given, LEAST_CALIBRATED, self.name)
        published = _published(held_out)
        for values, what in zip(published, ("A^2", "CV"), strict=True):
            check_varies(values, what, self.name)
        ordered = [np.sort(values) for values in published]

        def score(outputs: FlowOutputs) -> np.ndarray:
            pairs = zip(_published(outputs), ordered, strict=True)
            return -np.maximum(*(_share_up_to(*pair) for pair in pairs))

        return score


def _published(outputs: FlowOutputs) -> tuple[np.ndarray, np.ndarray]:
    return (
        anderson_darling(outputs.flat_latents()),
        variation(flat_power(outputs)),
    )


def _share_up_to(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """The share of ordered numbers that are at most the value; NaN of NaN."""
    share = np.searchsorted(ordered, values, side="right") / len(ordered)
    return np.where(np.isnan(values), np.nan, share)


@dataclass(frozen=True)
class KLODS(FlowScore):
    """`-KL(N(m, S) || N(0, I))` of the blocks of neighbouring latents of one image.

    z is cut into blocks of `block` x `block` positions, for each channel and scale; m
    and S are the mean and covariance `[q, q]` of all its blocks, `q = block^2`:
    `KL = (tr S + m'm - q - log det S) / 2`, nats. Positions that fill no block are left
    out. Infinite where blocks span fewer than q directions. Source: Zhang et al. 2020,
    from memory.
    """

    block: int = 2
    label: str = "KLODS"
    low_share: ClassVar[float] = 0.8
    of_images: ClassVar[bool] = True
    ranges: ClassVar = ranges_of(block=COUNT)

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        size = self.block
        shapes = position_shapes(network, self.name)
        count = sum((h // size) * (w // size) * c for h, w, c in shapes)
        if count <= size**2:
            raise ValueError(
                f"{self.name}: latents of shapes {shapes} hold {count} "
                f"blocks of {size} x {size}, more than {size**2} are needed: give a "
                "smaller block"
            )
        return lambda outputs: -_divergence(_blocks(outputs, size))


def _blocks(outputs: FlowOutputs, size: int) -> np.ndarray:
    """Blocks of neighbours in all scales: `[N, K, size^2]`."""
    parts = []
    for z in outputs.latents:
        n, h, w, c = z.shape
        h, w = h // size, w // size
        z = z[:, : h * size, : w * size].reshape(n, h, size, w, size, c)
        parts.append(z.transpose(0, 1, 3, 5, 2, 4).reshape(n, h * w * c, size**2))
    return np.concatenate(parts, 1).astype(np.float64)


def _divergence(blocks: np.ndarray) -> np.ndarray:
    mean = blocks.mean(1, keepdims=True)
    away = blocks - mean
    covariance = away.swapaxes(1, 2) @ away / blocks.shape[1]
    # latents that are NaN give NaN, which is refused by name
    with np.errstate(invalid="ignore"):
        _, log_volume = np.linalg.slogdet(covariance)
    trace = np.trace(covariance, axis1=1, axis2=2)
    squares = (mean[:, 0] ** 2).sum(1)
    return (trace + squares - blocks.shape[2] - log_volume) / 2
