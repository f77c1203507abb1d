"""Detectors on the features of a ResNet-34: CIFAR-10 against SVHN.

    python -m experiments detect --config=experiments/configs/cifar10_detect.py \
        --workdir=runs/cifar10_detect

FSSD's benchmark of colour images (Huang et al. 2021, table 2), with the training of the
public recipe that its code uses: 21,282,122 parameters, 350 epochs of SGD at rates 0.1,
0.01 and 0.001, windows and flips of the images; five networks, as many as the published
ensemble has. Differs on purpose: the published network is that of the best epoch by its
accuracy on the test images, these are those of the last one.

A GPU's work. `:smoke` runs through in a minute on two CPU cores, with a small network
and fake images.
"""

from experiments.configs.shared import classifiers


def get_config(variant: str = ""):
    config = classifiers.classifier_config(
        "cifar10:train",
        "cifar10:test",
        ("svhn_cropped:test",),
        {
            "name": "resnet34",
            # mean and standard deviation of the training pixels, in [0, 1]
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.2023, 0.1994, 0.2010),
            # blocks of each layer, and their channels
            "blocks": (3, 4, 6, 3),
            "widths": (64, 128, 256, 512),
            # images that batch norm normalises together, which divide each device's
            # part of a batch; 0 is the whole batch, as on the one GPU of the recipe
            "norm_group": 0,
            # arithmetic in training, as torch's convolutions have it on GPUs;
            # evaluation is always float32
            "precision": "tensorfloat32",
        },
    )
    config.parallel = "jit"
    config.optimizer.update(
        name="sgd",
        learning_rate=0.1,
        schedule="step_decay",
        decay=0.1,
        boundaries=(150, 250),
        l2=5e-4,
        reset_momentum=True,
    )
    config.train.update(
        batch_size=128, num_epochs=350, augment="crop_flip", checkpoint_every=3906
    )
    config.exposure.num_epochs = 10
    config.detect.update(networks=5, corrupted=("all",))
    if variant == "smoke":
        config.data.source = "synthetic"
        classifiers.smoke(config, blocks=(1, 1), widths=(8, 16))
        config.data.image_size = 16
        config.optimizer.learning_rate = 0.05
        # until the running statistics of batch norm have caught up
        config.train.update(batch_size=32, num_steps=200, checkpoint_every=100)
    elif variant:
        raise ValueError(f"unknown variant {variant!r}; known: smoke")
    # this network has no dropout
    config.detect.dropout_passes = 0
    return config
