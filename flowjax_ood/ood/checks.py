"""Checks of what detectors are fitted to: activations, labels and the last layer."""

import jax
import numpy as np

from flowjax_ood.data.checks import among

# rows of training outputs that the last layer is compared on
COMPARED = 1024
# logits of low precision, or of eight-bit weights, differ by less than this share of
# their size; those of another layer by about all of it
AGREEMENT = 0.02
# inputs whose values are looked at
LOOKED_AT = 256


# where activations are not finite
REMEDY = "leave these inputs out, or look at how they and the network are scaled"


def check_finite(outputs, name: str) -> None:
    """Raise ValueError where training outputs hold NaN or infinity."""
    # a finite sum is of finite numbers alone; a sum that overflows is not
    with np.errstate(all="ignore"):
        arrays = [a for a in jax.tree.leaves(outputs) if not np.isfinite(np.sum(a))]
    bad = sum(int((~np.isfinite(a)).sum()) for a in arrays)
    if bad:
        raise ValueError(
            f"{name} cannot be fitted: {bad} of the training images' activations are "
            f"NaN or infinite; {REMEDY}"
        )


def check_labels(labels, count: int, classes: int | None = None) -> np.ndarray:
    """Return labels as integers `[count]`; where they number `classes`, in 0 ... C-1.

    Raises TypeError for names, booleans and floats, ValueError for other shapes and for
    numbers that no class has.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, got dtype {labels.dtype}: of names, "
            "np.unique(names, return_inverse=True)[1]"
        )
    if labels.shape != (count,):
        remedy = ""
        if labels.ndim == 2 and len(labels) == count:
            of_one = labels.shape[1] == 1
            remedy = ": pass " + ("labels[:, 0]" if of_one else "labels.argmax(1)")
        raise ValueError(
            f"labels of shape {labels.shape} do not go with {count} rows of features"
            + remedy
        )
    if classes is not None and count:
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= classes:
            raise ValueError(
                f"labels must be the numbers of the {classes} logits, 0 ... "
                f"{classes - 1}; got {least} ... {most}: count from 0, in the order of "
                "the logits"
            )
    return labels


def check_head(head, outputs, name: str) -> None:
    """Raise ValueError where `logits = features @ W + b` does not hold of outputs.

    W must be `[D, C]` and b `[C]`; values are compared on up to 1,024 rows.
    """
    w, b = (np.asarray(a) for a in head)
    features, logits = outputs.features, outputs.logits
    wanted = features.shape[1], logits.shape[1]
    if w.shape != wanted:
        transposed = w.shape == wanted[::-1]
        remedy = (
            "torch stores it transposed: pass W.T"
            if transposed
            else "network.penultimate names the tap that the last layer reads"
        )
        raise ValueError(
            f"{name} needs a head W of shape [D, C] = {list(wanted)}, got "
            f"{list(w.shape)}: {remedy}"
        )
    if b.shape != wanted[1:]:
        raise ValueError(
            f"{name} needs a head b of shape [C] = {list(wanted[1:])}, got "
            f"{list(b.shape)}; None is a layer without bias"
        )
    step = -(-len(logits) // COMPARED)
    f, z = (np.asarray(a[::step], np.float64) for a in (features, logits))
    apart = np.linalg.norm(z - (f @ w + b))
    if apart > AGREEMENT * np.linalg.norm(z):
        worst = float(np.abs(z - (f @ w + b)).max())
        remedy = ""
        if w.shape[0] == w.shape[1]:
            remedy = "; torch stores W transposed: pass W.T"
        raise ValueError(
            f"{name} needs the last layer: logits must be features @ W + b, they "
            f"differ by up to {worst:.3g} on the training outputs. Are the features "
            f"what the last layer reads (after activation and pooling), and W and b "
            f"its own{remedy}?"
        )


def check_inputs(network, x, what: str) -> None:
    """Raise for inputs that the network would take for something else.

    Of all networks, images are uint8 or floats. Of those with a `mean` of pixels, they
    are `[N, H, W, C]` of as many channels, and floats in [0, 1]: the first rows are
    looked at for those of 0 ... 255.

    Raises TypeError for what is no array and for other integers, ValueError else.
    """
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise TypeError(
            f"{what} must be an array [N, ...], got {type(x).__name__}: of single "
            "images, np.stack(images); of batches, network.collect(batches)"
        )
    shape, kind = tuple(x.shape), str(x.dtype)
    integers = not any(word in kind for word in ("float", "complex"))
    if len(shape) == 4 and integers and kind.rpartition(".")[2] != "uint8":
        raise TypeError(
            f"{what}: images must be uint8 or floats, got {kind}, which nothing would "
            "divide by 255: pass x.astype(np.uint8)"
        )
    if network.mean is None:
        return
    channels = len(network.mean)
    if len(shape) != 4:
        remedy = ": of one image, x[None]" if len(shape) == 3 else ""
        raise ValueError(f"{what} must be [N, H, W, C], got shape {shape}{remedy}")
    if shape[3] != channels == shape[1]:
        raise ValueError(
            f"{what} must be [N, H, W, C] of {channels} channels, got shape {shape}: "
            "of channels first, x.transpose(0, 2, 3, 1)"
        )
    if not integers and shape[0]:
        rows = np.asarray(x[:LOOKED_AT])
        # of other ranges, a step or noise may leave [0, 1] a little, or both ways
        least, most = float(rows.min()), float(rows.max())
        if least >= 0 and most > 2:
            raise ValueError(
                f"{what} must be pixels in [0, 1], got floats up to {most:g}: "
                "divide by 255, or pass uint8"
            )


def check_not_negative(outputs, name: str) -> None:
    """Raise ValueError for features below 0, which shaping by sums is not made for."""
    least = np.min(outputs.features)
    if least < 0:
        raise ValueError(
            f"{name} needs features that are not negative, as after a ReLU; the least "
            f"is {least:.3g}. Take another tap, or another detector"
        )


def check_disjoint(held_out, known, name: str, what: str, remedy: str) -> None:
    """Raise ValueError where calibration images are among those known: equal bytes.

    Both `[N, ...]`, of one dtype. `what` the known ones are, `name` and `remedy` are
    for the message.
    """
    same = among(held_out, known)
    if same.any():
        raise ValueError(
            f"{name}: {same.sum()} of {len(same)} calibration images are {what} as "
            f"well, the first is number {int(same.argmax())}: {remedy}"
        )
