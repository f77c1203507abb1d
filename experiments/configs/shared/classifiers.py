"""All keys of classifiers, with the values of FSSD's LeNet. Not an experiment itself.

Sources: FSSD (Huang et al. 2021) and its code; Outlier Exposure (Hendrycks et al.
2019).
"""

from ml_collections import ConfigDict

from experiments.configs.shared.images import common_sections


def classifier_config(
    train: str, test: str, ood: tuple[str, ...], model: dict
) -> ConfigDict:
    """Make a config with every key of classifiers; experiments change some.

    `model`: the arguments of the classifier called `name`, each of which may be set.
    `seed` is that of the first network; the k-th after it has seed + k.
    """
    config = common_sections(train, test, ood)
    config.update(
        {
            # trains 1.35 times as fast as jit on two CPU devices
            "parallel": "shard_map",
            "model": model,
            "optimizer": {
                "name": "adadelta",
                "learning_rate": 1.0,
                # epoch_decay: the rate is multiplied by `decay` after every epoch;
                # step_decay: after those of `boundaries`, counted from the start;
                # cosine: down to 0 at the end; constant
                "schedule": "epoch_decay",
                "decay": 0.7,
                # epochs, of step_decay alone
                "boundaries": (150, 250),
                # coupled, on all parameters
                "l2": 0.0,
                # of sgd alone; it starts anew at the boundaries, or not
                "momentum": 0.9,
                "nesterov": False,
                "reset_momentum": False,
            },
            "train": {
                "batch_size": 64,
                "num_epochs": 14,
                "augment": "none",
                "checkpoint_every": 938,
            },
            # Outlier Exposure: the trained network is trained further, to be unsure of
            # outliers. SGD with Nesterov's momentum 0.9, the rate a cosine down to 0;
            # published for CIFAR-10: 10 epochs, 128 images a step with 256 outliers
            "exposure": {
                # pseudo: made of training images | "name:split" | "": none
                "source": "pseudo",
                # of a "name:split": data source and path; "" is that of training
                "place": "",
                "path": "",
                # of the outliers' loss
                "weight": 0.5,
                # outliers a step; 0 is twice the training batch
                "batch_size": 0,
                # of the training set
                "num_epochs": 1,
                # not 0: this many steps instead of num_epochs
                "num_steps": 0,
                "learning_rate": 1e-3,
                "l2": 5e-4,
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
                # what FSSD measures from, unless a row says: repository (the grey noise
                # of its code) | uniform (all pixel values) | validation (in all rows:
                # the mean of in-distribution inputs, where noise has no meaning)
                "fssd_noise": "repository",
                # inputs moved along gradients, by detectors that do so
                "perturb": True,
                # of MC Dropout; 0 is none, for networks without dropout
                "dropout_passes": 32,
                # corruptions of the test images to detect, by name; ("all",) is all
                "corrupted": (),
                "severities": (1, 2, 3, 4, 5),
                # test images to corrupt; 0 takes all, and there are 95 copies of each
                "corrupted_images": 500,
            },
        }
    )
    return config.lock()


def smoke(config: ConfigDict, **model) -> ConfigDict:
    """A variant that goes through every line in a minute on two CPU cores.

    `model`: what to change in it, for one that is not as small as LeNet.
    """
    config.model.update(model)
    config.train.update(batch_size=16, num_steps=40, log_every=10, checkpoint_every=20)
    config.exposure.num_steps = 10
    config.data.update(limit_train=512, limit_test=128)
    config.eval.update(batch_size=64)
    config.detect.update(networks=2, validation=64, dropout_passes=4)
    if config.detect.corrupted:
        few = {"corrupted": ("fog", "shot_noise"), "severities": (1, 5)}
        config.detect.update(few, corrupted_images=32)
    return config
