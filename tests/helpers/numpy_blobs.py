"""The network of `blobs` anew, in float64 NumPy, with a backward pass by hand."""

import numpy as np
from scipy import special

from tests.helpers import blobs

W, B = np.float64(blobs.W), np.float64(blobs.B)
DENSE = np.float64(blobs.DENSE)


def _conv_matrix() -> np.ndarray:
    """`[16, 80]`: what a 3x3 "SAME" correlation of 4x4 pixels does to each."""
    matrix = np.zeros((4, 4, 4, 4, blobs.CHANNELS))
    for i in range(4):
        for j in range(4):
            for di in range(3):
                for dj in range(3):
                    r, c = i + di - 1, j + dj - 1
                    if 0 <= r < 4 and 0 <= c < 4:
                        matrix[r, c, i, j] = blobs.KERNEL[di, dj, 0]
    return matrix.reshape(16, -1)


CONV = _conv_matrix()


def forward(x, conv=None):
    """`(conv [B, 16, 5], dense [B, 24], logits [B, 3])`."""
    x = (np.float64(x).reshape(len(x), -1) - 0.5) / 0.4
    conv = np.maximum(x @ CONV, 0) if conv is None else conv.reshape(len(x), -1)
    dense = np.maximum(conv @ DENSE, 0)
    return conv.reshape(len(x), 16, -1), dense, dense @ W + B


def backward(x, dz):
    """Gradients of `sum dz * logits` by conv, dense and the pixels `[B, 4, 4, 1]`."""
    conv, dense, _ = forward(x)
    by_dense = dz @ W.T
    by_conv = (by_dense * (dense > 0)) @ DENSE.T
    hidden = by_conv * (conv.reshape(by_conv.shape) > 0)
    by_pixel = hidden @ CONV.T / 0.4
    return by_conv.reshape(conv.shape), by_dense, by_pixel.reshape(x.shape)


def energy(z):
    return special.logsumexp(z, axis=1)
