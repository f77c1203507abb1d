"""An ensemble of diverse LeNets on clothing, copied by its answers to digits.

    python -m experiments steal --workdir=runs/steal \
        --config=experiments/configs/fashion_mnist_steal.py:cpu

`:cpu` has the 10,000 embedded images of clothing, three seeds, and less training than
the default. `:smoke` runs through, and says nothing.
"""

from experiments.configs.shared.systems import system_config


def get_config(variant: str = ""):
    config = system_config(
        "fashion_mnist:train",
        "fashion_mnist:test",
        ("mnist:test",),
        "served",
        {
            # the whole experiment, with seeds seed, seed + 1, ...
            "seeds": 3,
            "members": 3,
            # of each member alone; then of all together, with outliers
            "epochs": 4,
            "joint_epochs": 2,
            # of the members' agreement on outliers, and what that is of two members:
            # logsumexp | max | mean of their cosines
            "weight": 1.0,
            "agreement": "logsumexp",
            # images a step, and as many outliers; Adam
            "batch_size": 64,
            "learning_rate": 1e-3,
            "checkpoint_every": 200,
            # not trained on, and tested as an outlier: 8 is bags
            "held_out_class": 8,
            # training images that are the attacker's, and not the owner's
            "similar": 3000,
            # what the attacker asks; half of its classes are told in one row
            "queries": "mnist:train",
            # of the queries, and of the set below; 0 is all
            "limit_queries": 0,
            # what the network that chooses members by looks is trained on: letters
            "hash": "glyphs:train",
            "hash_source": "glyphs",
            "hash_path": "",
            "hash_epochs": 2,
            # of the attacker's training, over `queries`; as many steps for others
            "clone_epochs": 10,
            # of the attacker who averages: times asked, and the noise in between
            "repeats": 5,
            "jitter": 2,
            # of test images, as outliers
            "corrupted": ("fog", "shot_noise", "gaussian_blur"),
            "severity": 3,
        },
    )
    if variant == "cpu":
        config.served.update(epochs=3, joint_epochs=1, clone_epochs=4)
        config.served.limit_queries = 4000
    elif variant == "smoke":
        config.data.update(limit_train=200, limit_test=60, image_size=8)
        config.served.update(seeds=1, members=2, epochs=1, joint_epochs=1)
        config.served.update(limit_queries=80, hash_epochs=1, clone_epochs=1)
        config.served.update(similar=60, batch_size=16, repeats=2, corrupted=("fog",))
    elif variant:
        raise ValueError(f"unknown variant {variant!r}; known: cpu, smoke")
    return config.lock()
