"""The classifier of a run, trained or resumed in a directory of its own."""

from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.core.classifier import classifier
from experiments.core.systems import labels_of
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.ood import Network
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.training.batches import labelled_batches
from flowjax_ood.training.classifier_objectives import CrossEntropy
from flowjax_ood.training.loop import Plan, fit
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

# as `detect` trains its LeNet
BATCH, DECAY = 64, 0.7
# steps between checkpoints
CHECKPOINT = 100


def trained_network(
    config: ConfigDict, number: int, train: ImageSet, workdir: Path
) -> Network:
    """Train the classifier of that number, or resume it; raises as `fit` does."""
    seed, c = config.seed + number, config.scenes
    labels = labels_of(train)
    module = classifier(train.images, int(labels.max()) + 1)
    size = min(BATCH, len(train))
    per_epoch = len(train) / size
    steps = c.steps or max(1, round(c.epochs * per_epoch))
    rate = make_schedule(
        1.0, "epoch_decay", steps, decay=DECAY, steps_per_epoch=per_epoch
    )
    optimizer = make_optimizer(
        rate, name="adadelta", clip_norm=0.0, l2=0.0, scales_apart=False
    )
    start, noise = jax.random.split(jax.random.key(seed))
    example = jnp.zeros((1, *train.images.shape[1:]), jnp.uint8)
    run = fit(
        lambda: create_state(module, optimizer, start, example),
        make_train_step(CrossEntropy(module), optimizer),
        labelled_batches(train.images, labels, size, seed),
        Plan(steps, log_every=min(50, steps), checkpoint_every=min(CHECKPOINT, steps)),
        key=noise,
        batch_size=size,
        parallel=Parallel("jit"),
        workdir=workdir / "networks" / f"seed_{seed}",
        label=f"classifier {number + 1} of {c.networks}",
    )
    return Network.of(module, fetch(run.state.variables()))
