"""Why a classifier answered as it did: what each part of the input added to its answer.

z_y is the logit of the predicted class y of the input itself.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.ood.batched import compiled, of_inputs
from flowjax_ood.ood.network import Network, as_input, check_images

Kind = Literal["gradient_input", "integrated", "head"]
KINDS = get_args(Kind)
# points on the way from the baseline
POINTS = 8


def explanation(
    network: Network,
    x,
    kind: Kind = "gradient_input",
    grid: int = 7,
    *,
    baseline=None,
    points: int = POINTS,
    batch_size: int = 250,
) -> np.ndarray:
    """What parts of images `[N, H, W, C]` add to z_y: float32 `[N, grid * grid]`.

    * "gradient_input": `x * dz_y/dx`, the pixels' own, in [0, 1];
    * "integrated": `(x - b) * mean_k dz_y/dx` at `points` points b + t_k (x - b), t_k
      in the middle of equal parts of [0, 1]: pixels sum to z_y(x) - z_y(b), up to the
      width of the parts (Sundararajan et al. 2017). b is `baseline`, an image
      `[H, W, C]` of pixels in [0, 1];
    * "head": `f * W[:, y]`, of the features f `[N, D]` that the last layer (W, b)
      reads: `[N, D]`, and no `grid`.

    Pixels are summed over channels, and averaged over the `grid` by `grid` equal parts
    of the image, row by row.

    Raises TypeError for inputs without a gradient, such as tokens; ValueError for
    another kind, a grid that does not divide the sides, a missing baseline or one of
    another shape, and "head" of a network without one.
    """
    check_kind(network, np.shape(x), kind, grid)
    points = whole_number("points", points, least=1)
    if kind == "integrated":
        got = None if baseline is None else np.shape(baseline)
        if got != np.shape(x)[1:]:
            raise ValueError(
                'the explanation "integrated" starts from a baseline of the shape '
                f"{np.shape(x)[1:]}, got {got}: give the mean training image"
            )
        baseline = as_input(jnp.asarray(baseline))
    program = partial(explained, network, kind, grid, points, baseline)
    x = x if kind == "head" else check_images(x, "an explanation by gradients")
    return of_inputs(lambda rows: program(rows)[1], x, batch_size)


def check_kind(network: Network, shape: tuple[int, ...], kind: str, grid: int) -> None:
    """Raise ValueError where inputs of a shape have no explanation of that kind."""
    if kind not in KINDS:
        raise ValueError(f"unknown explanation {kind!r}; known: {', '.join(KINDS)}")
    if kind == "head":
        if network.head is None:
            raise ValueError(
                'the explanation "head" needs network.head, the last layer\'s (W, b)'
            )
        return
    grid = whole_number("grid", grid, least=1)
    if len(shape) != 4:
        raise ValueError(
            f"an explanation by pixels is of images [N, H, W, C], got shape {shape}"
        )
    if any(side % grid for side in shape[1:3]):
        raise ValueError(
            f"grid={grid} does not divide images of {shape[1]} x {shape[2]} pixels: "
            "give a divisor of both sides"
        )


@partial(compiled, static_argnums=(1, 2, 3))
def explained(network: Network, kind: Kind, grid: int, points: int, baseline, x):
    """Compute logits `[B, K]` of a batch, and explanations as `explanation` does."""
    if kind == "head":
        outputs = network.outputs(x)
        z = outputs.logits
        assert network.head is not None  # by `check_kind`
        by_class = jnp.asarray(network.head[0]).T[jnp.argmax(z, 1)]
        return z, outputs.features * by_class
    x = as_input(x)
    z = network.taps(x)[1]
    predicted = jax.nn.one_hot(jnp.argmax(z, 1), z.shape[1], dtype=z.dtype)

    def gradient(at):
        # rows do not depend on each other
        return jax.grad(lambda x: jnp.sum(predicted * network.taps(x)[1]))(at)

    if kind == "gradient_input":
        return z, _pooled(x * gradient(x), grid)
    away = x - baseline
    at = (jnp.arange(points) + 0.5) / points
    total = jax.lax.map(lambda t: gradient(baseline + t * away), at).mean(0)
    return z, _pooled(away * total, grid)


def _pooled(a: jax.Array, grid: int) -> jax.Array:
    """`[B, H, W, C]` -> `[B, grid * grid]`: sums over channels, means over parts."""
    count, height, width, _ = a.shape
    parts = a.sum(-1).reshape(count, grid, height // grid, grid, width // grid)
    return parts.mean((2, 4)).reshape(count, grid * grid)
