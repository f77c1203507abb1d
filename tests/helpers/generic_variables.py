"""Variables of a module that are neither zero nor one, so that no law holds by luck."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def generic_variables(module: nn.Module, rng, *args) -> dict:
    """Random variables of a module called with `args`: nothing at zero, nothing at one.

    Weights keep the activations' scale, variances and gains stay near one.
    """
    shapes = jax.eval_shape(lambda key: module.init(key, *args), jax.random.key(0))

    def draw(path, like):
        noise = rng.normal(size=like.shape)
        name = path[-1].key
        if "rescale" in (key.key for key in path):
            noise = 0.3 * noise  # |s| near 1/2 keeps deep flows well conditioned
            return jnp.asarray(0.5 + noise if name == "g" else noise, like.dtype)
        if name == "var":
            noise = np.exp(0.3 * noise)
        elif name in ("scale", "g"):
            noise = 1 + 0.3 * noise
        elif name in ("kernel", "v"):
            noise = noise / np.sqrt(max(np.prod(like.shape[:-1]), 1))
        elif name == "weight":  # of a 1x1 convolution: must stay well conditioned
            channels = noise.shape[-1]  # a stack of weights has an axis more
            noise = np.eye(channels) + 0.5 * noise / np.sqrt(channels)
        else:
            noise = 0.3 * noise
        return jnp.asarray(noise, like.dtype)

    # arrays, also where it is asked for within a traced function and then kept
    with jax.ensure_compile_time_eval():
        return jax.tree_util.tree_map_with_path(draw, dict(shapes))
