"""Layers of classifiers in NumPy and float64, as their definitions say."""

import numpy as np


def float64(tree):
    if isinstance(tree, dict):
        return {name: float64(value) for name, value in tree.items()}
    return np.asarray(tree, np.float64)


def conv(x, kernel, stride=1, padding=0):
    """`y[b, h, w] = sum_ij x[b, h s + i, w s + j] kernel[i, j]` of padded x."""
    k = len(kernel)
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = ((size - k) // stride + 1 for size in x.shape[1:3])
    y = np.empty((len(x), rows, columns, kernel.shape[-1]))
    for h in range(rows):
        for w in range(columns):
            top, left = h * stride, w * stride
            window = x[:, top : top + k, left : left + k]
            y[:, h, w] = np.einsum("bijc,ijco->bo", window, kernel)
    return y


def relu(x):
    return np.maximum(x, 0)


def max_pool(x):
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, p, reverse):
    """Outputs `[B, L, n]`, from zeros; gates in torch's order i, f, g, o."""
    n = len(p["recurrent"])
    c, h = np.zeros((2, len(x), n))
    out = np.empty((*x.shape[:2], n))
    order = range(x.shape[1])
    for t in reversed(order) if reverse else order:
        gates = x[:, t] @ p["kernel"] + h @ p["recurrent"] + p["bias"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out[:, t] = h
    return out
