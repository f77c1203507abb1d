"""The task in PyTorch libraries, eager: as their documentation runs them."""

from importlib import import_module as peer
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.peers.tasks import LEARNING_RATE, Calls, Shape

BOUND = 5.0


def zuko(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """`flows.NICE`: couplings that alternate between even and odd values."""
    flows, transforms = peer("zuko.flows"), peer("zuko.transforms")
    spline = {}
    if task == "spline":
        k = shape.bins
        spline = {
            "univariate": transforms.MonotonicRQSTransform,
            "shapes": [(k,), (k,), (k - 1,)],
        }
    flow = flows.NICE(
        shape.dim,
        transforms=shape.couplings,
        hidden_features=[shape.width] * shape.layers,
        **spline,
    )
    return _calls(flow, lambda x: flow().log_prob(x), x)


def nflows(shape: Shape, task: str, x: np.ndarray) -> Calls:
    """A `CompositeTransform` of couplings with MLPs."""
    torch: Any = peer("torch")
    transforms, flows = peer("nflows.transforms"), peer("nflows.flows")
    normal = peer("nflows.distributions.normal")

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

    def coupling(k):
        changed = (torch.arange(shape.dim) < shape.dim // 2) ^ (k % 2 == 1)
        if task == "affine":
            return transforms.AffineCouplingTransform(changed.int(), net)
        return transforms.PiecewiseRationalQuadraticCouplingTransform(
            changed.int(), net, num_bins=shape.bins, tails="linear", tail_bound=BOUND
        )

    flow = flows.Flow(
        transforms.CompositeTransform([coupling(k) for k in range(shape.couplings)]),
        normal.StandardNormal([shape.dim]),
    )
    return _calls(flow, flow.log_prob, x)


def _calls(flow, log_prob, x: np.ndarray) -> Calls:
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

    return Calls(
        parameters=sum(p.numel() for p in flow.parameters()),
        train=train,
        log_prob=density,
    )
