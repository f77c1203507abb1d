"""The task in PyTorch libraries, eager: as their documentation runs them."""

from importlib import import_module as peer
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.peers.tasks import LEARNING_RATE, Calls, Shape

BOUND = 5.0


def zuko(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """`flows.NICE`, whose couplings alternate between even and odd values, or `MAF`."""
    flows, transforms = peer("zuko.flows"), peer("zuko.transforms")
    spline = {}
    if task == "spline":
        k = shape.bins
        spline = {
            "univariate": transforms.MonotonicRQSTransform,
            "shapes": [(k,), (k,), (k - 1,)],
        }
    flow = (flows.MAF if task == "autoregressive" else flows.NICE)(
        shape.dim,
        transforms=shape.couplings,
        hidden_features=[shape.width] * shape.layers,
        **spline,
    )
    return _calls(
        flow, lambda x: flow().log_prob(x), lambda count: flow().sample((count,)), x
    )


def nflows(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """A `CompositeTransform` of couplings with MLPs, or of autoregressive maps."""
    transforms, flows = peer("nflows.transforms"), peer("nflows.flows")
    normal, net = peer("nflows.distributions.normal"), _mlp(shape)

    def maps(k):
        if task == "autoregressive":
            yield transforms.MaskedAffineAutoregressiveTransform(**_made(shape))
            yield transforms.ReversePermutation(shape.dim)
        elif task == "affine":
            yield transforms.AffineCouplingTransform(_changed(shape, k), net)
        else:
            yield transforms.PiecewiseRationalQuadraticCouplingTransform(
                _changed(shape, k), net, **_spline(shape)
            )

    steps = [step for k in range(shape.couplings) for step in maps(k)]
    flow = flows.Flow(
        transforms.CompositeTransform(steps), normal.StandardNormal([shape.dim])
    )
    return _calls(flow, flow.log_prob, flow.sample, x)


def normflows(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """A `NormalizingFlow` of the same; its maps go from latents to data."""
    library, net = peer("normflows"), _mlp(shape)
    splines = peer("normflows.flows.neural_spline.coupling")
    base = peer("normflows.flows.base")

    def maps(k):
        if task == "autoregressive":
            # the density in one pass
            yield base.Reverse(library.flows.MaskedAffineAutoregressive(**_made(shape)))
            yield library.flows.Permute(shape.dim, mode="swap")
        elif task == "affine":
            half = shape.dim // 2
            yield library.flows.AffineCouplingBlock(net(half, shape.dim))
            yield library.flows.Permute(shape.dim, mode="swap")
        else:
            yield base.Reverse(
                splines.PiecewiseRationalQuadraticCoupling(
                    _changed(shape, k), net, **_spline(shape)
                )
            )

    steps = [step for k in range(shape.couplings) for step in maps(k)]
    flow = library.NormalizingFlow(
        library.distributions.DiagGaussian(shape.dim, trainable=False), steps
    )
    return _calls(flow, flow.log_prob, lambda count: flow.sample(count)[0], x)


# nflows and normflows share the code of neural spline flows, and so their arguments


def _made(shape: Shape) -> dict[str, Any]:
    return {
        "features": shape.dim,
        "hidden_features": shape.width,
        # besides the first layer
        "num_blocks": shape.layers - 1,
        "use_residual_blocks": False,
    }


def _spline(shape: Shape) -> dict[str, Any]:
    return {"num_bins": shape.bins, "tails": "linear", "tail_bound": BOUND}


def _changed(shape: Shape, k: int):
    """Which values coupling k changes: one half, then the other."""
    torch = peer("torch")
    return ((torch.arange(shape.dim) < shape.dim // 2) ^ (k % 2 == 1)).int()


def _mlp(shape: Shape):
    """What makes the conditioner of a coupling, of `(inputs, outputs)`."""
    torch: Any = peer("torch")

    class Conditioner(torch.nn.Sequential):
        hidden_features = shape.width  # by which nflows scales a spline's numbers

        def forward(self, h, context=None):
            return super().forward(h)

    def net(features, out_features):
        sizes = [features] + [shape.width] * shape.layers
        layers = []
        for before, after in pairwise(sizes):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        return Conditioner(*layers, torch.nn.Linear(shape.width, out_features))

    return net


def _calls(flow, log_prob, draw, x: np.ndarray) -> Calls:
    torch = peer("torch")
    optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE, fused=True)
    x = torch.from_numpy(x)

    def train() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = -log_prob(x).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def density():
        with torch.inference_mode():
            return log_prob(x)

    def sample():
        with torch.inference_mode():
            return draw(len(x))

    return Calls(
        parameters=sum(p.numel() for p in flow.parameters()),
        train=train,
        log_prob=density,
        sample=sample,
    )
