"""Numbers of a config checked before work starts."""

import math

from ml_collections import ConfigDict

from experiments.config import UserError, flatten

# Least value of each number: found here, they cost no hours of training first.
AT_LEAST = {
    "seed": 0,
    "data.limit_train": 0,
    "data.limit_test": 0,
    "data.image_size": 0,
    "data.channels": 0,
    "data.pca": -1,
    "model.couplings": 0,
    "model.steps": 1,
    "model.layers": 0,
    "model.width": 1,
    "model.blocks": 0,
    "model.latent_dim": 1,
    "model.dropout": 0,
    "model.max_log_scale": 0,
    "optimizer.clip_norm": 0,
    "optimizer.l2": 0,
    "optimizer.weight_decay": 0,
    "optimizer.ema_decay": 0,
    "train.batch_size": 1,
    "train.num_epochs": 0,
    "train.num_steps": 0,
    "train.negative_classes": 0,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.keep_checkpoints": 1,
    "train.validate_every": 1,
    "train.patience": 0,
    "eval.batch_size": 1,
    "eval.seed": 0,
    "eval.draws": 1,
    "eval.recompute_batches": 1,
    "eval.samples": 0,
    "eval.neighbors": 1,
    "eval.limit_baselines": 0,
    "detect.networks": 1,
    "detect.limit_fit": 0,
    "detect.validation": 4,
}


def check_numbers(config: ConfigDict) -> None:
    """Raise UserError for a number out of its range, naming the key."""
    for key, value in flatten(config).items():
        if key in AT_LEAST and not value >= AT_LEAST[key]:
            raise UserError(
                f"config.{key} must be at least {AT_LEAST[key]}, got {value}"
            )
    if not 0 < config.optimizer.learning_rate < math.inf:
        rate = config.optimizer.learning_rate
        raise UserError(f"config.optimizer.learning_rate must be positive, got {rate}")
    if config.optimizer.get("ema_decay", 0) >= 1:
        raise UserError(
            f"config.optimizer.ema_decay must be below 1, got "
            f"{config.optimizer.ema_decay}; 0 is no averaging"
        )
