"""Learned dequantisation noise for flows on images."""

from flowjax_ood import masks
from flowjax_ood.arguments import event_shape, whole_number
from flowjax_ood.bijectors import Chain, MixtureCoupling, VariationalDequantization
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow
from flowjax_ood.networks import GatedConvNet, ImageConditioned
from flowjax_ood.precision import FLOAT32, Precision, as_precision


def variationally_dequantized(
    flow: Flow,
    *,
    couplings: int = 4,
    width: int = 16,
    components: int = 4,
    context: int = 32,
    bins: int = 256,
    precision: str | Precision = FLOAT32,
) -> Flow:
    """Put learned dequantisation noise in front of a flow on images `[B, H, W, C]`.

    The flow returned is used as the one given, on images that `data.dequantize` gave
    uniform noise: its `log_prob`, of their D values, is in the mean over that noise a
    lower bound, `log_prob - D log bins <= log P(image)`, which training closes. It
    starts as the flow itself. Source: Ho et al. 2019, section 3.1.

    * `couplings`: of the noise, with alternating checkerboards: mixtures of
      `components` logistics, their st-networks of `width` channels;
    * `context`: channels of the network that looks at the image;
    * `bins`: values of a pixel;
    * `precision`: as in `RealNVP`, of these networks.

    The parameters of the flow are under `bijector/bijectors_1`. Raises ValueError for a
    flow of other events than images, and numbers out of range.
    """
    shape = event_shape("event_shape", flow.event_shape)
    if len(shape) != 3:
        raise ValueError(
            f"dequantisation noise is of images (H, W, C); this flow's events are "
            f"{shape}: vectors are not quantised"
        )
    whole_number("couplings", couplings, 2)
    precision = as_precision(precision)
    net = Bound(ImageConditioned, width=width, precision=precision)
    noise = Chain(
        [
            MixtureCoupling(net, masks.alternate_checkerboard, k, components)
            for k in range(couplings)
        ]
    )
    look = Bound(GatedConvNet, width=context, precision=precision)
    first = VariationalDequantization(noise, look, bins)
    flow = flow.clone(bijector=Chain([first, flow.bijector]))
    flow.latent_shape()
    return flow
