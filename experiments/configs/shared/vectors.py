"""All keys of flows on vectors: tables and embeddings.

Not an experiment itself. Architecture and optimiser are the defaults of the paper's
tabular script (appendix K names no others); what keeps a flow on vectors from blowing
up is added, each by a key of its own, and is off in `paper`.
"""

from functools import partial

from ml_collections import ConfigDict

from experiments.configs.shared import images


def tabular(train: str, test: str, ood: tuple[str, ...]) -> ConfigDict:
    """A RealNVP on standardised vectors, stopped by its validation likelihood."""
    config = images.real_nvp(train, test, ood)
    config.unlock()
    # a share of vectors, where it is a number of images
    del config.data.validation
    # vectors have no pixels
    for key in ("bins", "dequantization", "noise", "leave_out", "mutated"):
        del config.data[key]
    config.data.update(
        {
            # uci | sklearn | embeddings | synthetic
            "source": "uci",
            # share of the training vectors that training is stopped by; they are not
            # trained on, nor standardised by
            "validation": 0.1,
            # features that never change in training
            "constant": "error",
            # principal components kept after standardisation; 0: no PCA, -1: all
            "pca": 0,
            "whiten": True,
        }
    )
    config.model = ConfigDict(
        {
            "name": "tabular_real_nvp",
            "couplings": 8,
            # tabular (the paper's) | halves, the same in half the width
            "mask": "tabular",
            "width": 256,
            "layers": 1,
            "dropout": 0.0,
            "zero_init": True,
            # bound on every log-scale; 0 is none
            "max_log_scale": 2.0,
            "precision": "float32",
        }
    )
    config.optimizer.update(
        learning_rate=1e-3, scales_apart=False, l2=0.0, weight_decay=1e-2
    )
    config.train.update(
        {
            "batch_size": 1024,
            "num_epochs": 100,
            "checkpoint_every": 1000,
            "validate_every": 100,
            "patience": 10,
            # "median" where tails are heavy, and a few vectors decide the mean
            "validate_by": "mean",
        }
    )
    config.eval.update(
        {
            "batch_size": 4096,
            "samples": 0,
            # detectors without a flow on the same vectors, the neighbours that the
            # second looks at, and how many training vectors they are fitted on; 0: all
            "baselines": ("mahalanobis", "nearest_neighbors"),
            "neighbors": 10,
            "limit_baselines": 20_000,
        }
    )
    return config.lock()


def paper(config: ConfigDict) -> ConfigDict:
    """The defaults of the paper's script as they are: nothing bounds, nothing stops.

    Adam with coupled L2 on all parameters, 101 epochs (one more than its argument
    says). Of embeddings, too, for which it names no others.
    """
    config.data.validation = 0.0
    config.model.update(mask="tabular", dropout=0.0, max_log_scale=0.0, zero_init=False)
    config.optimizer.update(l2=5e-5, weight_decay=0.0)
    config.train.update(batch_size=1024, num_epochs=101)
    return config


def smoke(config: ConfigDict) -> ConfigDict:
    """A variant that goes through every line in seconds, on fake vectors."""
    validation = config.data.validation
    config = images.smoke(config, width=8, couplings=2)
    config.data.update(source="synthetic", path="", validation=validation)
    # a PCA of many features takes longer than all else
    config.data.pca = 16 if config.data.pca else 0
    config.eval.update(samples=0, neighbors=3)
    config.train.update(validate_every=2, patience=2)
    return config


def variant(config: ConfigDict, name: str, **extra) -> ConfigDict:
    """`config` itself for "", its smoke or the paper's form, or one of `extra`'s."""
    return images.choose(name, {"smoke": smoke, "paper": paper} | extra)(config)


def two_classes(table: str, name: str, validate_every: int = 100) -> ConfigDict:
    """One class of a table of two against the other: variants "0", "1", "1_paper" ...

    "smoke" alone is that of class 1, which "" trains, too.
    """

    def of(trained: int, form: str):
        own, other = f"{table}{trained}", f"{table}{1 - trained}"
        config = tabular(f"{own}:train", f"{own}:test", (f"{other}:test",))
        config.train.validate_every = validate_every
        return variant(config, form)

    forms = {"smoke": partial(of, 1, "smoke")}
    for c in range(2):
        forms |= {f"{c}": partial(of, c, "")}
        forms |= {f"{c}_{form}": partial(of, c, form) for form in ("paper", "smoke")}
    return images.choose(name or "1", forms)()


def embeddings(name: str, ood: tuple[str, ...], variant_name: str) -> ConfigDict:
    """A RealNVP on embeddings: many features, correlated, seldom without outliers."""
    config = tabular(f"{name}:train", f"{name}:test", ood)
    # some of a network's features never fire on a set
    config.data.update(source="embeddings", constant="drop")
    config.model.update(mask="halves", dropout=0.5)
    # a feature that fires for one image in a thousand is 30 standard deviations away
    # there: a few such images would decide the mean
    config.train.update(
        batch_size=256, validate_every=50, patience=5, validate_by="median"
    )
    return variant(
        config,
        variant_name,
        cpu=cpu,
        whitened=whitened,
        cpu_whitened=lambda c: whitened(cpu(c)),
    )


def cpu(config: ConfigDict) -> ConfigDict:
    """The first 10,000 training vectors and a narrow flow, minutes on two cores."""
    config.data.limit_train = 10_000
    config.model.width = 128
    config.train.update(num_steps=1000, checkpoint_every=500)
    return config


def whitened(config: ConfigDict) -> ConfigDict:
    """All principal components, whitened: the flow begins as a Gaussian of all."""
    config.data.pca = -1
    return config
