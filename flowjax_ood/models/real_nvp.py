"""RealNVP: the paper's flow and all its variants, by arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from flowjax_ood import masks
from flowjax_ood.arguments import event_shape, real_number, whole_number
from flowjax_ood.bijectors import (
    AffineCoupling,
    Bijector,
    Chain,
    FactorOut,
    Logit,
    Repeat,
    Squeeze,
)
from flowjax_ood.bijectors.repeat import MODES
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.models.couplings import coupling_layers
from flowjax_ood.networks import MLP, Autoencoder, ResNet, ResNetAE
from flowjax_ood.precision import FLOAT32, Precision, as_precision

STACKS = ("chain", *MODES)


def RealNVP(
    image_shape: tuple[int, int, int],
    *,
    scales: int = 2,
    couplings: int | None = None,
    mask: str | masks.MaskStrategy = "checkerboard",
    st_net: str | Callable[..., nn.Module] = "resnet",
    width: int = 64,
    blocks: int = 6,
    latent_dim: int = 100,
    norm: str = "batch",
    norm_group: int = 0,
    skip: bool = True,
    zero_init: bool = False,
    coupling: str = "affine",
    max_log_scale: float | None = None,
    bins: int = 8,
    bound: float = 5.0,
    components: int = 8,
    alpha: float = 0.05,
    stack: str = "chain",
    remat: str | None = None,
    reversible: bool = False,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a RealNVP on images `[B, H, W, C]` in [0, 1).

    Each scale: couplings with `mask` (3, and 4 at the last scale), then, but for the
    last: squeeze, 3 channel-wise couplings, half of the channels factored out. The
    width doubles at each squeeze. Source: the paper, appendix C; Dinh et al. 2017.

    * the paper's single-scale flows: `scales=1, couplings=8` with mask "checkerboard",
      "horizontal" or "cycle"; `couplings=3, mask="horizontal"` for co-adaptation;
    * `mask`: a name of `masks.STRATEGIES` or a strategy of your own;
    * `st_net`: "resnet", "resnet_ae" or "autoencoder" (the last two pass all through
      `latent_dim` numbers), or a module factory of your own, as in `AffineCoupling`,
      which every coupling uses as it is;
    * `norm`: "batch" (paper) or "none", the latter best with `zero_init`;
    * `norm_group`: batch norm over the whole batch (0, the paper's), or over groups of
      so many examples (`networks.BatchNorm`);
    * `coupling`: "affine"; "spline", of `bins` bins on `[-bound, bound]` behind the
      logit (`SplineCoupling`); or "mixture", of `components` logistics
      (`MixtureCoupling`). The last two are best with norm "none" and `zero_init`;
    * `max_log_scale`: a bound on every log-scale (`AffineCoupling`), or None, the
      paper's: each is bounded by a number that is learned (mixtures': by 2);
    * `stack`: "chain" of separate couplings, or "scan" or "unroll" for `Repeat`, with
      its `remat` and `reversible`. `bijectors.restack` converts between them;
    * `precision`: what the st-networks compute in, "float32", "tensorfloat32",
      "bfloat16" or a `Precision` of your own; nothing else changes with it. A module
      factory as `st_net` has its own;
    * `base`: the density of the latents, N(0, I) unless given;
    * `conditional_bijector`: False gives `cond` to the base alone, not to the
      st-networks. The densities of all classes then cost one pass (`class_log_prob`).

    Raises ValueError, before anything is computed, for images that cannot be halved
    `scales - 1` times, unknown names, and masks that leave pixels forever unchanged.
    """
    strategy = masks.strategy(mask)
    positive = {"scales": scales, "width": width, "latent_dim": latent_dim}
    if couplings is not None:
        positive["couplings"] = couplings
    others = {"blocks": blocks, "norm_group": norm_group}
    shape = check_numbers("RealNVP", image_shape, alpha, positive, **others)

    def layer(k, mask_strategy, width):
        # the paper's code doubles the normed input where the mask is a checkerboard
        gain = 2.0 if mask_strategy is masks.alternate_checkerboard else 1.0
        return make(network(width, gain), mask_strategy, k)

    def network(width, gain):
        common = {"zero_init": zero_init, "precision": precision}
        residual = {"width": width, "blocks": blocks, "input_gain": gain, "norm": norm}
        residual |= {"norm_group": norm_group, **common}
        known = {
            "resnet": Bound(ResNet, skip=skip, **residual),
            "resnet_ae": Bound(ResNetAE, latent_dim=latent_dim, **residual),
            "autoencoder": Bound(Autoencoder, latent_dim=latent_dim, **common),
        }
        return st_network(st_net, known)

    def run(count, mask_strategy, width):
        return stacking.run(lambda k: [layer(k, mask_strategy, width)], count)

    def scale(index, width):
        last = index == scales - 1
        parts = run(couplings or (4 if last else 3), strategy, width)
        if not last:
            wider = 2 * width
            parts += [Squeeze(), *run(3, masks.alternate_channel_wise, wider)]
            parts.append(FactorOut(Chain(scale(index + 1, wider))))
        return parts

    make = coupling_layers(
        coupling,
        max_log_scale=max_log_scale,
        bins=bins,
        bound=bound,
        components=components,
    )
    stacking = Stacking(stack, remat, reversible)
    precision = as_precision(precision)
    if norm not in ("batch", "none"):
        raise ValueError(f"unknown norm {norm!r}; known: 'batch', 'none'")
    if norm_group and norm != "batch":
        raise ValueError(
            f"norm_group={norm_group} is of norm='batch', and norm is {norm!r}; set it "
            "to 0"
        )
    bijector = Chain([Logit(alpha), *scale(0, width)])
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()  # refuses image sizes and masks that do not fit
    if scales == 1:
        check_coverage(strategy, couplings or 4, flow.event_shape)
    return flow


def TabularRealNVP(
    dim: int,
    *,
    couplings: int = 8,
    mask: str | masks.MaskStrategy = "tabular",
    width: int = 256,
    layers: int = 1,
    dropout: float = 0.0,
    zero_init: bool = False,
    max_log_scale: float | None = None,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a RealNVP on vectors `[B, dim]`: MLP couplings that alternate the halves.

    No preprocessing inside: standardise the data first. Source: the paper, appendix K
    (tables) and section 8 (embeddings). `mask="halves"` computes the same kind of
    flow in half the width, faster; "tabular" is the paper's. `max_log_scale` bounds
    every log-scale (`AffineCoupling`), and so log |det| by half of
    `couplings * dim * max_log_scale`, up to an odd dimension; None is the paper's flow.
    `precision`, `base` and `conditional_bijector`: as in `RealNVP`.

    Raises ValueError, before anything is computed, for numbers out of range.
    """
    least = {"couplings": 2, "width": 1, "layers": 0}
    given = {"couplings": couplings, "width": width, "layers": layers}
    shape = (whole_number("dim", dim),)
    check_at_least("TabularRealNVP", given, least)
    if not 0 <= real_number("dropout", dropout) < 1:
        raise ValueError(f"TabularRealNVP needs 0 <= dropout < 1, got {dropout}")
    net = Bound(
        MLP,
        width=width,
        layers=layers,
        dropout=dropout,
        zero_init=zero_init,
        precision=as_precision(precision),
    )
    strategy = masks.strategy(mask)
    bijector = Chain(
        [AffineCoupling(net, strategy, k, max_log_scale) for k in range(couplings)]
    )
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow


def check_numbers(
    model: str, image_shape, alpha: float, positive: dict, **others
) -> tuple[int, int, int]:
    """Return the image's shape; ValueError for numbers out of range.

    `others` may be 0.
    """
    shape = event_shape("image_shape", image_shape)
    if len(shape) != 3:
        raise ValueError(
            f"image_shape must be (H, W, C), got {shape}: these flows take 2-d images, "
            "and TabularRealNVP takes vectors, WaveletFlow volumes"
        )
    least = dict.fromkeys(positive, 1) | dict.fromkeys(others, 0)
    check_at_least(model, positive | others, least)
    if not 0 <= real_number("alpha", alpha) < 0.5:
        raise ValueError(f"{model} needs 0 <= alpha < 0.5, got alpha={alpha}")
    return shape


def check_at_least(model: str, values: dict, least: dict) -> None:
    """Raise ValueError for what is no whole number, or too small a one."""
    for name, value in values.items():
        if whole_number(name, value) < least[name]:
            raise ValueError(
                f"{model} needs {name} >= {least[name]}, got {name}={value}"
            )


def st_network(name: str | Callable, known: Mapping[str, Callable]) -> Callable:
    """Return the module factory of that name, or the one given."""
    if callable(name):
        return name
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"unknown st-network {name!r}; known: {', '.join(known)}, or a module "
            "factory"
        )
    return known[name]


@dataclass(frozen=True)
class Stacking:
    """The arguments `stack`, `remat` and `reversible` of a model, checked.

    Raises ValueError for an unknown `stack`, and for options that it does not have.
    """

    stack: str = "chain"
    remat: str | None = None
    reversible: bool = False

    def __post_init__(self):
        if self.stack not in STACKS:
            raise ValueError(
                f"unknown stack {self.stack!r}; known: {', '.join(STACKS)}"
            )
        if self.stack == "chain" and (self.remat or self.reversible):
            raise ValueError(
                "remat and reversible are options of repeated blocks: give stack='scan'"
                " or 'unroll' with them"
            )

    def run(self, block: Callable[[int], list[Bijector]], n: int) -> list[Bijector]:
        """Stack `block(0), ..., block(n - 1)`, or make one `Repeat` of `block(0)`."""
        if self.stack == "chain":
            return [bijector for k in range(n) for bijector in block(k)]
        first = block(0)
        body = first[0] if len(first) == 1 else Chain(first)
        return [Repeat(body, n, self.stack, self.remat, self.reversible)]


def check_coverage(strategy, couplings: int, shape) -> None:
    """Raise ValueError unless every value of an event is changed by some coupling."""
    changed = np.any([strategy(k, shape).changed for k in range(couplings)], axis=0)
    if not changed.all():
        raise ValueError(
            f"{couplings} couplings with this mask never change "
            f"{int((~changed).sum())} of {changed.size} dimensions; use more couplings "
            "(a cycle-mask needs 4)"
        )
