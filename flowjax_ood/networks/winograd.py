"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3).

Cook and Toom: a product of polynomials is found from its values at a few points. Along
one axis, 4 outputs of 3 taps need 6 products instead of 12; along both, 36 instead of
144. The 36 products of a tile are 36 matrix products over all tiles and channels, which
is what XLA does best on CPU, and the gradients have the same form.

    y = A' [(G k G') * (B' x B)] A        per tile of 6 x 6 inputs and 4 x 4 outputs

Source: Winograd 1980; Lavin and Gray 2016, section 4.1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

OUTPUTS, TAPS = 4, 3
INPUTS = OUTPUTS + TAPS - 1
# With 0, 1, -1, 2, -2 rounding is twice as large; these, too, are exact in binary.
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
# of transformed tiles, which should stay in a core's second cache until they are used
PART_BYTES = 1 << 20


def cook_toom(points, outputs: int, taps: int):
    """`(A, G, B)` with `A' [(G k) * (B' x)]` the valid correlation of x with k.

    The points and infinity make `outputs + taps - 1` values.
    """
    values = np.asarray(points)
    n = len(values) + 1
    a, g, b = np.zeros((n, outputs)), np.zeros((n, taps)), np.zeros((n, n))
    for j, point in enumerate(values):
        others = np.delete(values, j)
        a[j] = point ** np.arange(outputs)
        g[j] = point ** np.arange(taps) / np.prod(point - others)
        b[: n - 1, j] = np.poly(others)[::-1]
    a[-1, -1] = g[-1, -1] = 1
    b[:, -1] = np.poly(values)[::-1]
    return a, g, b


A, G, B = cook_toom(POINTS, OUTPUTS, TAPS)


@jax.custom_vjp
def winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[B, H, W, I]` with `[3, 3, I, O]`: stride 1, zero padding "SAME".

    For float32, accurate to about 1e-6 of the output's scale, four times the rounding
    of the direct sum. Differentiable once, in reverse mode.

    The transforms move 36/16 of the images, so they are done for a few images at a
    time, which stay in a core's cache until their products are done.
    """
    values = _kernel_values(kernel)
    xs = _split(x, kernel.shape[2:])
    parts = xs.shape[1]
    if parts == 1:
        return _part_forward(x, values)

    def body(i, y):
        return _put(y, _part_forward(_part(xs, i), values), i)

    y = jnp.zeros((*xs.shape[:-1], kernel.shape[-1]), x.dtype)
    return lax.fori_loop(0, parts, body, y).reshape(*x.shape[:-1], -1)


def _forward(x, kernel):
    return winograd(x, kernel), (x, kernel)


def _backward(kept, dy):
    x, kernel = kept
    return winograd(dy, transposed(kernel)), kernel_gradient(x, dy)


winograd.defvjp(_forward, _backward)


def transposed(kernel: jax.Array) -> jax.Array:
    """`[3, 3, O, I]` of `[3, 3, I, O]`: it takes gradients of outputs to the inputs."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def kernel_gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
    """`[3, 3, I, O]`, of `[B, H, W, I]` and the gradient `[B, H, W, O]` of the outputs.

    The last transform is done once, after the sum over all images.
    """
    channels = x.shape[-1], dy.shape[-1]
    xs, dys = _split(x, channels), _split(dy, channels)
    lanes, parts = xs.shape[:2]

    def gradients(i):
        return _part_gradients(_part(xs, i), _part(dys, i), lanes)

    if parts == 1:
        return _at_taps(gradients(0).sum(0))
    # a sum for each lane: devices wait for each other once, not at every part
    total = jnp.zeros((lanes, INPUTS**2, *channels), x.dtype)
    total = lax.fori_loop(0, parts, lambda i, total: total + gradients(i), total)
    return _at_taps(total.sum(0))


def _split(x, channels):
    """`[lanes, parts, images of a part in a lane, H, W, C]`.

    A lane is a device's share of a batch that is sharded: it stays there.
    """
    count, h, w, _ = x.shape
    devices = jax.device_count()
    lanes = devices if count % devices == 0 else 1
    rows, columns = _counts(h, w)
    image = rows * columns * INPUTS**2 * max(channels) * x.dtype.itemsize
    share, most = count // lanes, max(1, PART_BYTES // image)
    fits = (n for n in range(1, share + 1) if share % n == 0 and share // n <= most)
    # an empty batch has a part, too
    parts = next(fits, 1)
    return x.reshape(lanes, parts, share // parts, *x.shape[1:])


def _part(xs, i):
    part = lax.dynamic_index_in_dim(xs, i, 1, keepdims=False)
    return part.reshape(-1, *xs.shape[3:])


def _put(xs, part, i):
    part = part.reshape(xs.shape[0], *xs.shape[2:])
    return lax.dynamic_update_index_in_dim(xs, part, i, 1)


def _part_forward(x, values):
    # a barrier: fused into the transform, what made x would be done 36/16 times
    tiles = _input_tiles(lax.optimization_barrier(x))
    products = jnp.matmul(tiles, values, precision="highest")
    return _output_tiles(products, x.shape[:3])


def _part_gradients(x, dy, lanes):
    """With respect to `_kernel_values`, each step transposed: `[lanes, 36, I, O]`."""
    spread = _gradient_tiles(lax.optimization_barrier(dy))
    tiles = _input_tiles(lax.optimization_barrier(x))
    spread, tiles = (
        t.reshape(INPUTS**2, lanes, -1, t.shape[-1]) for t in (spread, tiles)
    )
    return jnp.einsum("kltc,klto->lkco", tiles, spread, precision="highest")


def _at_taps(values):
    """`G' v G`, the transpose of `_kernel_values`: `[36, I, O]` -> `[3, 3, I, O]`."""
    values = values.reshape(INPUTS, INPUTS, *values.shape[1:])
    values = jnp.stack(_combined(G.T, values))
    return jnp.stack(_combined(G.T, values.swapaxes(0, 1)))


def _counts(h: int, w: int) -> tuple[int, int]:
    return -(-h // OUTPUTS), -(-w // OUTPUTS)


def _input_tiles(x):
    """`B' x B` of every tile: `[36, tiles, I]`, tiles overlapping by two."""
    b, h, w, c = x.shape
    rows, columns = _counts(h, w)
    pad_h, pad_w = rows * OUTPUTS + 1 - h, columns * OUTPUTS + 1 - w
    x = jnp.pad(x, ((0, 0), (1, pad_h), (1, pad_w), (0, 0)))

    def every_fourth(x, start, count, axis):
        end = start + (count - 1) * OUTPUTS + 1
        return lax.slice_in_dim(x, start, end, OUTPUTS, axis)

    x = [every_fourth(x, i, rows, 1) for i in range(INPUTS)]
    x = jnp.stack(_combined(B.T, x))
    x = [every_fourth(x, j, columns, 3) for j in range(INPUTS)]
    return jnp.stack(_combined(B.T, x)).reshape(INPUTS**2, b * rows * columns, c)


def _kernel_values(kernel):
    """`G k G'`: `[36, I, O]`."""
    values = jnp.stack(_combined(G, kernel)).swapaxes(0, 1)
    return jnp.stack(_combined(G, values)).reshape(INPUTS**2, *kernel.shape[2:])


def _output_tiles(products, shape):
    """`A' m A` of every tile, put together: `[36, tiles, O]` -> `[B, H, W, O]`."""
    b, h, w = shape
    rows, columns = _counts(h, w)
    m = products.reshape(INPUTS, INPUTS, b, rows, columns, products.shape[-1])
    m = jnp.stack(_combined(A.T, m), axis=4)  # [6, B, rows, columns, 4, O]
    y = jnp.stack(_combined(A.T, m), axis=2)  # [B, rows, 4, columns, 4, O]
    y = y.reshape(b, rows * OUTPUTS, columns * OUTPUTS, y.shape[-1])
    return y[:, :h, :w]


def _gradient_tiles(dy):
    """`A dy A'` of every tile: the transpose of `_output_tiles`."""
    b, h, w, o = dy.shape
    rows, columns = _counts(h, w)
    pad_h, pad_w = rows * OUTPUTS - h, columns * OUTPUTS - w
    dy = jnp.pad(dy, ((0, 0), (0, pad_h), (0, pad_w), (0, 0)))
    dy = dy.reshape(b, rows, OUTPUTS, columns, OUTPUTS, o)
    dy = jnp.stack(_combined(A, [dy[:, :, p] for p in range(OUTPUTS)]))
    dy = jnp.stack(_combined(A, [dy[..., q, :] for q in range(OUTPUTS)]))
    return dy.reshape(INPUTS**2, b * rows * columns, o)


def _combined(matrix, parts):
    """`matrix @ parts`, parts being arrays."""
    return [_sum(row, parts) for row in matrix]


def _sum(coefficients, parts):
    """`sum_k coefficients[k] parts[k]` over those that are not zero."""
    total = None
    for c, part in zip(coefficients, parts):
        if c:
            term = part if c == 1 else -part if c == -1 else float(c) * part
            total = term if total is None else total + term
    return total
