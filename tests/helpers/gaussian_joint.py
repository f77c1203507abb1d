"""A joint density whose flow is a Gaussian: all of it is known exactly."""

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.ood import Given, JointDensity
from tests.helpers import blobs


class Gaussian(nn.Module):
    """N(0, I): what the flow of a Gaussian is."""

    dims: int

    @nn.compact
    def __call__(self, x):
        return self.log_prob(x)

    def log_prob(self, x):
        return -jnp.sum(x**2, 1) / 2 - self.dims / 2 * jnp.log(2 * jnp.pi)


GIVEN = Given(train_inputs=blobs.TRAIN)
GAUSSIAN = JointDensity(inputs=4, explanation_grid=2, flow=Gaussian, steps=1)
