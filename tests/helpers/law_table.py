"""Every bijector, once: `{name: (constructor, event shape, cond shape or None)}`.

The generic laws of `test_laws.py` run over this table. Parameters are drawn at random
instead of initialised, so that zero heads, unit gains and fresh batch statistics hide
nothing; combinators wrap maps that change volume.
"""

import zlib
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    Bijector,
    CausalAffine,
    Chain,
    ChannelPermutation,
    ConditionAffine,
    ElementAffine,
    Exp,
    FactorOut,
    Haar,
    Householder,
    Inverse,
    InvertibleConv1x1,
    Logit,
    MaskedAffine,
    MaskedSpline,
    MixtureCoupling,
    Patches,
    Repeat,
    Reshape,
    Reverse,
    SigmoidCoupling,
    Softplus,
    SplineCoupling,
    Squeeze,
    Tanh,
    VariationalDequantization,
)
from flowjax_ood.models import Glow, Jet, RealNVP, TabularRealNVP, TarFlow
from flowjax_ood.networks import (
    MADE,
    MLP,
    CausalTransformer,
    GatedConvNet,
    ImageConditioned,
    ResNet,
    ResNetAE,
    ViT,
)
from tests.helpers.generic_variables import generic_variables

BATCH = 3

bare = partial(ResNet, width=4, blocks=1, norm="none", skip=False)
full = partial(ResNet, width=4, blocks=1, input_gain=2.0)
narrow = partial(ResNetAE, width=4, blocks=2, latent_dim=2)
mlp = partial(MLP, width=6, layers=1)
vit = partial(ViT, width=4, expansion=2)
causal = partial(CausalTransformer, width=4, layers=1, expansion=2)


def net(*hidden):
    """The conditioner of an autoregressive map."""
    return partial(MADE, hidden)


viewing = partial(ImageConditioned, width=4, layers=1)


def striped(k, shape):
    """A user's channel mask whose seen channels are not contiguous."""
    channels = np.arange(shape[-1]) % 2 == k % 2
    seen = np.broadcast_to(channels, shape).copy()
    return masks.complementary(seen, layout="channel")


def coupling(strategy, k=0, net=bare):
    return lambda: AffineCoupling(net, masks.strategy(strategy), k)


def spline(strategy, k=0, net=bare, **args):
    return lambda: SplineCoupling(net, masks.strategy(strategy), k, **args)


def sigmoid(strategy, k=0, net=bare, **args):
    return lambda: SigmoidCoupling(net, masks.strategy(strategy), k, **args)


def mixture(strategy, k=0, net=bare, **args):
    return lambda: MixtureCoupling(net, masks.strategy(strategy), k, **args)


def noise():
    # noise has few digits: of few pixel values, away from the ends of their cells, and
    # by couplings that move none there, enough are left for these laws
    look = partial(GatedConvNet, 4, 1)
    board = masks.alternate_checkerboard
    couplings = (AffineCoupling(viewing, board, k, 0.3) for k in (0, 1))
    moved = VariationalDequantization(Chain(couplings), look, 4)
    return Chain([ElementAffine(0.9, 0.03), moved])


def multi_scale():
    inner = FactorOut(Chain([ActNorm(), AffineCoupling(bare)]), keep=2)
    return Chain(
        [Squeeze(), ActNorm(), FactorOut(Chain([Squeeze(), ActNorm(), inner]))]
    )


def repeat(*strategies, mode="scan"):
    couplings = [coupling(name, k) for k, name in enumerate(strategies)]
    return lambda: Repeat(Chain([ActNorm(), *(make() for make in couplings)]), 3, mode)


def repeat_spline():
    block = Chain([ActNorm(), spline("checkerboard", bins=3, bound=2.0)()])
    return Repeat(block, 3, "scan")


def glow(shape, **args):
    args = {"scales": 1, "steps": 2, "width": 4, "layers": 1} | args
    return lambda: Glow(shape, **args).bijector


def model(shape, **args):
    args = {"width": 4, "blocks": 1, "norm": "none", "skip": False} | args
    return lambda: RealNVP(shape, **args).bijector


COUPLINGS = {
    "checkerboard": (coupling("checkerboard", net=full), (4, 4, 1), None),
    "checkerboard_odd": (coupling("checkerboard", 1), (3, 5, 2), None),
    "checkerboard_cond": (coupling("checkerboard", net=full), (4, 4, 1), 2),
    "checkerboard_bottleneck": (coupling("checkerboard", net=narrow), (4, 4, 1), 2),
    "channel": (coupling("channel"), (2, 2, 4), None),
    "channel_reverse": (coupling("channel", 1, full), (2, 2, 4), 2),
    "channel_striped": (coupling(striped), (2, 2, 5), None),
    "horizontal": (coupling("horizontal"), (5, 4, 1), None),
    "horizontal_reverse": (coupling("horizontal", 1), (5, 4, 1), None),
    "vertical": (coupling("vertical"), (4, 5, 1), None),
    "cycle": (coupling("cycle", 2), (5, 4, 1), None),
    "sub_cycle": (coupling("sub_cycle", 3), (4, 4, 1), None),
    "center": (coupling("center"), (9, 9, 1), None),
    "tabular": (coupling("tabular", net=mlp), (5,), None),
    "tabular_cond": (coupling("tabular", 1, mlp), (5,), 2),
    "halves": (coupling("halves", net=mlp), (5,), None),
    "halves_cond": (coupling("halves", 1, mlp), (5,), 2),
    "checkerboard_image_cond": (
        coupling("checkerboard", net=viewing),
        (4, 4, 1),
        (4, 4, 2),
    ),
    "channel_image_cond": (coupling("channel", 1, viewing), (2, 2, 4), (2, 2, 3)),
    # no batch norm: slopes near 1e-3, as it makes here, cost float32 three digits
    "spline_checkerboard": (spline("checkerboard", bins=4), (4, 4, 1), None),
    # events in [0, 1) lie on both sides of this bound
    "spline_channel": (spline("channel", bound=0.6), (2, 2, 4), None),
    "spline_tabular": (spline("tabular", net=mlp, bound=1.0), (5,), None),
    "spline_cond": (spline("checkerboard", 1, bins=4), (4, 4, 1), 2),
    "spline_tabular_cond": (spline("tabular", 1, mlp, bins=4), (5,), 2),
    "sigmoid_checkerboard": (sigmoid("checkerboard"), (4, 4, 1), None),
    "sigmoid_halves_cond": (sigmoid("halves", 1, mlp, scale=3.0), (5,), 2),
    "mixture_checkerboard": (mixture("checkerboard", components=3), (4, 4, 1), None),
    "mixture_channel_cond": (
        mixture("channel", 1, components=2, max_log_scale=None),
        (2, 2, 4),
        2,
    ),
    "mixture_tabular": (mixture("tabular", net=mlp, components=5), (5,), None),
    "mixture_tails": (
        mixture("tabular", net=mlp, components=3, tail_weight=0.1),
        (5,),
        None,
    ),
    "mixture_of_one": (mixture("tabular", 1, mlp, components=1), (5,), None),
    "jet_channel_cond": (sigmoid(masks.jet(), 1, vit), (4, 5), 2),
    "jet_spatial_odd": (sigmoid(masks.jet(), 4, vit), (9, 2), None),
}

SIMPLE = {
    "logit": (Logit, (4, 4, 1), None),
    "logit_alpha": (partial(Logit, 1e-3), (3,), None),
    "squeeze": (Squeeze, (4, 6, 2), None),
    "reversal": (ChannelPermutation, (2, 3, 4), None),
    "permutation": (partial(ChannelPermutation, (2, 0, 1)), (3,), None),
    "permutation_seed": (partial(ChannelPermutation, seed=1), (2, 2, 6), None),
    "haar_channel": (Haar, (2, 3, 4), None),
    "haar_space": (partial(Haar, "space"), (4, 6, 2), None),
    "condition_affine": (partial(ConditionAffine, viewing), (3, 4, 2), (3, 4, 5)),
    "condition_shift": (partial(ConditionAffine, viewing, 0), (3, 4, 2), (3, 4, 1)),
    "element_affine": (partial(ElementAffine, -2.0, 0.3), (2, 3, 1), None),
    # from inside an interval to all numbers, which these laws draw as latents
    "tanh": (lambda: Inverse(Tanh()), (5,), None),
    "softplus": (
        lambda: Chain([ElementAffine(0.9, 0.1), Inverse(Softplus())]),
        (2, 3, 1),
        None,
    ),
    "dequantization": (noise, (4, 4, 1), None),
    "exp": (lambda: Chain([ElementAffine(0.9, 0.1), Inverse(Exp())]), (5,), None),
    "householder": (partial(Householder, 3), (2, 2, 4), None),
    "reshape": (partial(Reshape, (2, 3, 2), (4, 3)), (2, 3, 2), None),
    "patches": (partial(Patches, (4, 6, 2), 2), (4, 6, 2), None),
    "reverse": (Reverse, (4, 3), None),
    "actnorm": (ActNorm, (4, 4, 3), None),
    "actnorm_vector": (ActNorm, (5,), None),
    "conv1x1": (InvertibleConv1x1, (3, 2, 4), None),
    "conv1x1_plu": (partial(InvertibleConv1x1, "plu", 1), (3, 2, 4), None),
}

AUTOREGRESSIVE = {
    "masked_affine": (partial(MaskedAffine, net(9, 8)), (5,), None),
    "masked_affine_cond": (
        partial(MaskedAffine, net(7), "reversed", "sequential", max_log_scale=None),
        (5,),
        3,
    ),
    "masked_affine_columns": (
        partial(MaskedAffine, net(12), "columns", tol=0.0),
        (2, 3, 2),
        None,
    ),
    "masked_affine_linear": (partial(MaskedAffine, net(), tol=0.0), (4,), 2),
    "masked_spline": (partial(MaskedSpline, net(8), 3, bins=4, bound=0.7), (5,), None),
    "inverse_masked_affine": (
        lambda: Inverse(MaskedAffine(net(8), (2, 0, 3, 1), "sequential")),
        (4,),
        2,
    ),
    "repeat_masked_affine": (
        lambda: Repeat(Chain([MaskedAffine(net(6), tol=0.0), Reverse()]), 3),
        (4,),
        2,
    ),
}

CAUSAL = {
    "causal_affine": (partial(CausalAffine, causal), (4, 2), None),
    "causal_affine_cond": (
        partial(CausalAffine, causal, "softplus", None, "learned", "jacobi", tol=0.0),
        (3, 2),
        2,
    ),
    "repeat_causal_affine": (
        lambda: Repeat(Chain([CausalAffine(causal), Reverse()]), 2, "scan", "full"),
        (3, 2),
        2,
    ),
}

COMBINATORS = {
    "chain": (
        lambda: Chain([Logit(), ActNorm(), AffineCoupling(bare)]),
        (4, 4, 1),
        None,
    ),
    "chain_cond": (
        lambda: Chain(
            [ActNorm(), coupling("tabular", 0, mlp)(), ChannelPermutation(seed=3)]
        ),
        (4,),
        2,
    ),
    "inverse": (
        lambda: Inverse(Chain([ActNorm(), Squeeze(), coupling("channel", 1)()])),
        (2, 2, 4),
        None,
    ),
    "repeat": (repeat("checkerboard", "horizontal"), (4, 4, 1), None),
    "repeat_unroll": (repeat("channel", mode="unroll"), (2, 2, 4), 2),
    "repeat_halves": (
        lambda: Repeat(Chain([ActNorm(), coupling("halves", net=mlp)()]), 3),
        (4,),
        2,
    ),
    "repeat_spline": (repeat_spline, (4, 4, 1), 2),
    "repeat_mixture": (
        lambda: Repeat(mixture("tabular", net=mlp, components=2)(), 3),
        (4,),
        2,
    ),
    "factor_out": (lambda: FactorOut(ActNorm()), (2, 2, 5), None),
    "factor_out_nested": (multi_scale, (8, 8, 1), None),
}

MODELS = {
    "real_nvp": (model((8, 8, 1), couplings=1), (8, 8, 1), None),
    "real_nvp_rgb": (model((4, 4, 3), couplings=1), (4, 4, 3), None),
    "real_nvp_checkerboard": (
        model((4, 4, 1), scales=1, couplings=3, norm="batch", skip=True),
        (4, 4, 1),
        None,
    ),
    "real_nvp_horizontal": (
        model((5, 4, 1), scales=1, couplings=3, mask="horizontal"),
        (5, 4, 1),
        None,
    ),
    "real_nvp_cycle": (model((4, 4, 1), scales=1, mask="cycle"), (4, 4, 1), None),
    "real_nvp_resnet_ae": (
        model((4, 4, 1), scales=1, st_net="resnet_ae", blocks=2, latent_dim=2),
        (4, 4, 1),
        None,
    ),
    "glow": (glow((4, 4, 3), scales=2, steps=1), (4, 4, 3), None),
    "glow_plu": (glow((4, 4, 1), conv1x1="plu"), (4, 4, 1), None),
    "glow_checkerboard": (glow((4, 4, 1), mask="checkerboard"), (4, 4, 1), None),
    "repeat_glow": (glow((4, 4, 3), scales=2, stack="scan"), (4, 4, 3), None),
    # two turns of channel and spatial couplings, and one coupling more
    "repeat_jet": (
        lambda: (
            Jet(
                (6, 6, 1),
                patch=2,
                couplings=5,
                kinds=("channel", "spatial"),
                width=4,
                expansion=2,
            ).bijector
        ),
        (6, 6, 1),
        2,
    ),
    "repeat_tarflow": (
        lambda: TarFlow((4, 4, 1), patch=2, blocks=3, width=4, layers=1).bijector,
        (4, 4, 1),
        None,
    ),
    "tabular_real_nvp": (
        lambda: TabularRealNVP(5, couplings=3, width=6).bijector,
        (5,),
        None,
    ),
}

# too large for Jacobians on every run: the laws that need one forward pass alone
LARGE = {
    "real_nvp_autoencoder": (
        model((14, 14, 1), scales=1, st_net="autoencoder", latent_dim=3, couplings=2),
        (14, 14, 1),
        None,
    ),
}

TABLE = SIMPLE | COUPLINGS | AUTOREGRESSIVE | CAUSAL | COMBINATORS | MODELS
ALL = TABLE | LARGE
# couplings that run another's code, on another mask: what depends on the mask is
# checked in float64, what depends on the code alone is not checked again
OTHER_MASKS = {
    *("checkerboard_odd", "horizontal_reverse", "vertical"),
    *("cycle", "sub_cycle", "center"),
}
OWN_CODE = {name: case for name, case in ALL.items() if name not in OTHER_MASKS}


@dataclass(frozen=True)
class Case:
    """A bijector with generic variables and a batch of events, all float32."""

    bijector: Bijector
    variables: Any
    x: jax.Array
    cond: jax.Array | None


@cache
def case(name: str) -> Case:
    constructor, shape, cond_shape = ALL[name]
    bijector = constructor()
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    x = rng.uniform(0.02, 0.98, (BATCH, *shape)).astype(np.float32)
    x[0].flat[0], x[0].flat[1] = 0.0, 255.996 / 256  # the ends of the domain
    cond = None
    if cond_shape:
        cond_shape = (BATCH, *np.atleast_1d(cond_shape))
        cond = jnp.asarray(rng.normal(size=cond_shape), jnp.float32)
    x = jnp.asarray(x)
    return Case(bijector, generic_variables(bijector, rng, x, cond), x, cond)
