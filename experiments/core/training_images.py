"""Images to train on that are not all of a set, or not as they are stored."""

from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from flowjax_ood.bijectors import Logit
from flowjax_ood.bijectors.base import walk
from flowjax_ood.data.outliers.mutated import mutated
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.splits import Whole
from flowjax_ood.distributions import Flow
from flowjax_ood.interface.errors import UserError, user_errors


def leave_out(config: ConfigDict, images: Whole) -> tuple[Whole, Whole | None]:
    """`(images, those of the classes of config.data.leave_out)`, the former without.

    None where no class is left out. UserError for a set without labels, classes that it
    has not, and where none would be left.
    """
    classes = sorted(set(config.data.get("leave_out", ())))
    if not classes:
        return images, None
    what = f"{images.name}:{images.split}"
    if config.data.streaming:
        raise UserError(
            "config.data.leave_out looks at all labels, and streamed images are read "
            "as they are needed; set config.data.streaming=False"
        )
    if images.labels is None:
        raise UserError(
            f"config.data.leave_out needs labels, and {what} has none; set it to ()"
        )
    known = np.unique(images.labels).tolist()
    if missing := [c for c in classes if c not in known]:
        raise UserError(
            f"config.data.leave_out names {missing[0]}, and {what} has the classes "
            f"{', '.join(map(str, known))}"
        )
    left = np.isin(images.labels, classes)
    if left.all():
        raise UserError(f"config.data.leave_out leaves no class of {what}")
    label = "class" if len(classes) == 1 else "classes"
    label = f"{label} {', '.join(map(str, classes))}"
    others = replace(images.at(left).noted(label), name=f"{images.name} {label}")
    return images.at(~left).noted(f"without {label}"), others


def with_mutations(config: ConfigDict, train: Whole) -> Whole:
    """Training images with a share `config.data.mutated` of their values replaced.

    They are the same ones in every epoch. UserError for streamed images.
    """
    share = config.data.get("mutated", 0.0)
    if not share:
        return train
    if config.data.streaming:
        raise UserError(
            "config.data.mutated changes all images before training, and streamed ones "
            "are read as they are needed; set config.data.streaming=False"
        )
    with user_errors("config.data.mutated"):
        changed = mutated(train.events, share, config.seed, levels=config.data.bins)
    noted = train.noted(f"each value replaced with probability {share:g}")
    return replace(noted, images=changed)


def noise_on(config: ConfigDict, model: Flow, negative: ImageSet | None) -> float:
    """`config.data.noise`, of training images; UserError where it has no density.

    `negative`: the images of negative training, if any.
    """
    noise = config.data.get("noise", 0.0)
    if not noise:
        return 0.0
    in_unit = any(isinstance(leaf, Logit) for _, leaf in walk(model.bijector))
    if negative is not None or in_unit:
        raise UserError(
            f"config.data.noise={noise:g} moves images out of [0, 1], where neither a "
            "logit is defined, as most flows begin with, nor negative training; it is "
            "for jet, and tarflow with model.logit=False. Set it to 0"
        )
    return noise
