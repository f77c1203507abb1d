"""What all experiments with a classifier's features share. Not an experiment itself.

Sources: FSSD (Huang et al. 2021) and its code.
"""

from ml_collections import ConfigDict

from experiments.configs.common import data_room


def lenet(train: str, test: str, ood: tuple[str, ...]) -> ConfigDict:
    """FSSD's LeNet recipe on grey images; experiments change what differs."""
    return ConfigDict(
        {
            # of the first network; the k-th after it has seed + k
            "seed": 0,
            # how a step is spread over devices: jit | pmap | shard_map; the last one
            # trains 1.35 times as fast as jit on two CPU devices
            "parallel": "shard_map",
            "data": data_room(train, test, ood),
            "model": {
                "name": "lenet",
                # mean and standard deviation of the training pixels, in [0, 1]
                "mean": (0.2860,),
                "std": (0.3530,),
            },
            "optimizer": {
                # adadelta | sgd | adam
                "name": "adadelta",
                "learning_rate": 1.0,
                # the rate is multiplied by it after every epoch
                "decay": 0.7,
                # coupled, on all parameters
                "l2": 0.0,
            },
            "train": {
                "batch_size": 64,
                "num_epochs": 14,
                # not 0: this many steps instead of num_epochs
                "num_steps": 0,
                "log_every": 100,
                "checkpoint_every": 938,
                "keep_checkpoints": 2,
            },
            "eval": {"batch_size": 250},
            "detect": {
                # trainings; every detector is fitted on each of them
                "networks": 3,
                # rows of the table to compute, by name; () is all
                "detectors": (),
                # images of the training set that detectors are fitted on; 0 takes all
                "limit_fit": 0,
                # images of each set to choose by, half to fit on and half to compare
                "validation": 1000,
                # workdirs of trained flows that join the table, one a seed
                "flows": (),
            },
        }
    ).lock()


def smoke(config: ConfigDict) -> ConfigDict:
    """A variant that goes through every line in a minute on two CPU cores."""
    config.train.update(batch_size=16, num_steps=40, log_every=10, checkpoint_every=20)
    config.data.update(limit_train=512, limit_test=128)
    config.eval.update(batch_size=64)
    config.detect.update(networks=2, validation=64)
    return config
