"""Detectors on the features of a bidirectional LSTM: bacteria found after 2016.

    python -m experiments detect --config=experiments/configs/genomics_detect.py \
        --workdir=runs/genomics_detect

FSSD's benchmark of sequences (Huang et al. 2021, table 2) on the genomes of Ren et al.
2019: ten classes of bacteria known before 2011, and 60 others, found after 2016, as
outliers. 32,068,026 parameters. 50,000 sequences of each test set, as published; the
recipe of training is not, so optimiser, batch size and epochs are ours. Letters have no
gradient and no noise: nothing is perturbed, and FSSD measures from the mean of
in-distribution sequences, as published.

A GPU's work. `:smoke` runs through in a minute on two CPU cores, with a small network
and fake sequences.
"""

from experiments.configs.shared import classifiers


def get_config(variant: str = ""):
    config = classifiers.classifier_config(
        # splits: train, validation, test, validation_ood, test_ood
        "genomics:train",
        "genomics:test",
        ("genomics:test_ood",),
        {
            "name": "bilstm",
            # letters of a sequence
            "length": 250,
            "embedding": 4,
            # units of each direction of each layer
            "hidden": 1000,
            "depth": 2,
            "dropout": 0.1,
            # arithmetic in training; evaluation is always float32
            "precision": "tensorfloat32",
        },
    )
    config.data.limit_test = 50_000
    config.optimizer.update(name="adam", learning_rate=5e-4, schedule="cosine")
    config.train.update(batch_size=256, num_epochs=5, checkpoint_every=1000)
    # without outliers of letters that would go with the published rows
    config.exposure.source = ""
    config.detect.update(
        # a million sequences of 9,000 features each would be 36 GB
        limit_fit=50_000,
        fssd_noise="validation",
        perturb=False,
    )
    if variant == "smoke":
        config.data.source = "synthetic"
        classifiers.smoke(config, length=50, hidden=16)
        config.optimizer.learning_rate = 0.03
        config.train.update(batch_size=32, num_steps=200, checkpoint_every=100)
        config.detect.limit_fit = 0
        return config
    if variant:
        raise ValueError(f"unknown variant {variant!r}; known: smoke")
    return config
