"""One row per config key: the only table that knows about keys.

What a key means and its default stand in experiments/configs/shared; what the commands
may do with it stands here. To add a key is to add a line in each.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from ml_collections import ConfigDict


class Kind(enum.Enum):
    """Kind of an experiment: it trains a flow, or classifiers to compare detectors."""

    IMAGES = "a flow on images"
    VECTORS = "a flow on vectors"
    CLASSIFIER = "classifiers of images"
    TOKENS = "classifiers of tokens"

    @property
    def classifies(self) -> bool:
        """Whether it is for the command `detect`."""
        return self in CLASSIFIERS


IMAGES, VECTORS, TOKENS = Kind.IMAGES, Kind.VECTORS, Kind.TOKENS
FLOWS, CLASSIFIERS = (IMAGES, VECTORS), (Kind.CLASSIFIER, TOKENS)
ALL = FLOWS + CLASSIFIERS

# `model.name`, and what such a model is of
MODELS = {
    "real_nvp": IMAGES,
    "glow": IMAGES,
    "tabular_real_nvp": VECTORS,
    "lenet": Kind.CLASSIFIER,
    "resnet34": Kind.CLASSIFIER,
    "bilstm": TOKENS,
}


def kind(config: ConfigDict | dict) -> Kind:
    """The kind of an experiment; of an unknown model, what its sections look like."""
    likely = Kind.CLASSIFIER if "detect" in config else IMAGES
    known = MODELS.get(config["model"].get("name"), likely)
    return known if known.classifies == likely.classifies else likely


# whether another value of a key makes no difference, by the flat config it is in
Condition = bool | Callable[[dict], bool]


def no_validation(config: dict) -> bool:
    """Tell whether nothing is held back, so that nothing reads the key."""
    return not config.get("data.validation")


def no_images_held_back(config: dict) -> bool:
    """Tell whether no scores of images held back have to be under the same noise."""
    return config.get("data.validation", 0) < 1


def constant_rate(config: dict) -> bool:
    """Tell whether no schedule looks at the end: a longer run is the same run."""
    return config.get("optimizer.schedule") == "constant"


def no_dropout(config: dict) -> bool:
    """Tell whether no mode of parallelism decides what a classifier drops."""
    return "detect.networks" not in config


@dataclass(frozen=True)
class Key:
    """A config key and what the commands may do with it.

    Args:
        name: such as "data.limit_test".
        kinds: the kinds of experiment whose configs have it.
        least: least value, of each number of a tuple.
        above: all values are above this, and finite.
        below: all values are below this.
        choices: names it takes, each of a tuple's; by kind where these differ.
        off: of a key that acts on images alone, the value for all else.
        resume: when it may differ as a run goes on.
        per_host: may differ between the processes of a run.
        scored: says what is scored: not how rows of one table differ.
        evaluate: may be set for a trained run (`scored` may, too).
        pooled: when it may differ among runs that a report pools (`scored` may, too).
        reading: how images are read, of which a training step knows nothing.
        column: which column of every table of `benchmark` it is; 0 is none.
    """

    name: str
    kinds: tuple[Kind, ...] = ALL
    least: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] | dict[Kind, tuple[str, ...]] = ()
    off: object = None
    resume: Condition = False
    per_host: bool = False
    scored: bool = False
    evaluate: bool = False
    pooled: Condition = False
    reading: bool = False
    column: int = 0

    @property
    def section(self) -> str:
        """The part of the name before the first dot; a key without one is its own."""
        return self.name.partition(".")[0]


def _by_family(flows: tuple[str, ...], classifiers: tuple[str, ...]) -> dict:
    return dict.fromkeys(FLOWS, flows) | dict.fromkeys(CLASSIFIERS, classifiers)


NAMES = _by_family(
    tuple(name for name, of in MODELS.items() if of in FLOWS),
    tuple(name for name, of in MODELS.items() if of in CLASSIFIERS),
)
OPTIMIZERS = _by_family(("adam", "rmsprop"), ("adadelta", "sgd", "adam"))
SCHEDULES = _by_family(
    ("constant", "cosine", "anneal"),
    ("epoch_decay", "step_decay", "cosine", "constant"),
)
MODES = ("jit", "pmap", "shard_map")
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
CONVOLUTIONS = ("auto", "direct", "winograd")
AUGMENTATIONS = ("none", "crop_flip")
# of keys without a use unless something is held back
UNREAD = {"resume": no_validation, "pooled": no_validation}
# of keys that say how a run is evaluated
ANEW = {"resume": True, "evaluate": True}
# of keys of what is fitted to classifiers after their training
LATER = {"resume": True}
# what FSSD can measure from
NOISE = ("repository", "uniform", "validation")
# detectors without a flow
BASELINES = ("mahalanobis", "nearest_neighbors")

TABLE = (
    Key("seed", least=0, pooled=True),
    Key("parallel", choices=MODES, resume=no_dropout, column=3),
    Key("fsdp", least=1, resume=True),
    Key("data.source", evaluate=True),
    Key("data.path", resume=True, per_host=True, evaluate=True, pooled=True),
    Key("data.train"),
    Key("data.test", scored=True),
    Key("data.ood", scored=True),
    Key("data.ood_source", scored=True),
    Key("data.ood_path", scored=True, resume=True, per_host=True),
    Key("data.altered", scored=True, off=()),
    Key("data.streaming", resume=True, reading=True),
    Key("data.read_ahead", least=-1, resume=True, per_host=True, reading=True),
    Key("data.read_threads", least=0, resume=True, per_host=True, reading=True),
    Key("data.read_workers", least=0, resume=True, per_host=True, reading=True),
    Key("data.limit_train", least=0),
    Key("data.limit_test", least=0, scored=True),
    Key("data.image_size", least=0, off=0),
    Key("data.channels", least=0, off=0, evaluate=True),
    Key("data.validation", FLOWS, least=0),
    Key("data.constant", (VECTORS,), choices=("error", "drop")),
    Key("data.pca", (VECTORS,), least=-1),
    Key("data.whiten", (VECTORS,)),
    Key("model.name", choices=NAMES),
    Key("model.scales", (IMAGES,)),
    Key("model.couplings", FLOWS, least=0),
    Key("model.steps", (IMAGES,), least=1),
    Key("model.mask", FLOWS),
    Key("model.st_net", (IMAGES,)),
    Key("model.conv1x1", (IMAGES,)),
    Key("model.layers", FLOWS, least=0),
    Key("model.width", FLOWS, least=1),
    Key("model.blocks", (IMAGES, Kind.CLASSIFIER), least=0),
    Key("model.latent_dim", (IMAGES,), least=1),
    Key("model.norm", (IMAGES,)),
    Key("model.norm_group", (IMAGES, Kind.CLASSIFIER), least=0),
    Key("model.skip", (IMAGES,)),
    Key("model.zero_init", FLOWS),
    Key("model.dropout", (VECTORS, TOKENS), least=0),
    Key("model.max_log_scale", (VECTORS,), least=0),
    Key("model.stack", (IMAGES,)),
    Key("model.remat", (IMAGES,)),
    Key("model.reversible", (IMAGES,)),
    Key("model.precision", choices=PRECISIONS, column=2),
    Key("model.convolution", (IMAGES,), choices=CONVOLUTIONS),
    Key("model.mean", (Kind.CLASSIFIER,)),
    Key("model.std", (Kind.CLASSIFIER,)),
    Key("model.widths", (Kind.CLASSIFIER,), least=1),
    Key("model.length", (TOKENS,), least=6),
    Key("model.embedding", (TOKENS,), least=1),
    Key("model.hidden", (TOKENS,), least=1),
    Key("model.depth", (TOKENS,), least=1),
    Key("optimizer.name", choices=OPTIMIZERS),
    Key("optimizer.learning_rate", above=0),
    Key("optimizer.schedule", choices=SCHEDULES),
    Key("optimizer.warmup_steps", FLOWS),
    Key("optimizer.decay", CLASSIFIERS),
    Key("optimizer.boundaries", CLASSIFIERS),
    Key("optimizer.clip_norm", FLOWS, least=0),
    Key("optimizer.l2", least=0),
    Key("optimizer.weight_decay", FLOWS, least=0),
    Key("optimizer.scales_apart", FLOWS),
    Key("optimizer.ema_decay", FLOWS, least=0, below=1),
    Key("optimizer.momentum", CLASSIFIERS),
    Key("optimizer.nesterov", CLASSIFIERS),
    Key("optimizer.reset_momentum", CLASSIFIERS),
    Key("train.batch_size", least=1, column=1),
    Key("train.num_epochs", least=0, resume=constant_rate),
    Key("train.num_steps", least=0, resume=constant_rate),
    Key("train.augment", CLASSIFIERS, choices=AUGMENTATIONS, off="none"),
    Key("train.negative", FLOWS, off=""),
    Key("train.negative_classes", FLOWS, least=0, off=0),
    Key("train.negative_threshold", FLOWS),
    Key("train.steps_per_call", least=1, resume=True, column=4),
    Key("train.log_every", least=1, resume=True, pooled=True),
    Key("train.checkpoint_every", least=1, resume=True, pooled=True),
    Key("train.keep_checkpoints", least=1, resume=True, pooled=True),
    Key("train.validate_every", FLOWS, least=1, **UNREAD),
    Key("train.patience", FLOWS, least=0, **UNREAD),
    Key("train.validate_by", FLOWS, choices=("mean", "median"), **UNREAD),
    # uint8 images alone are taken as outliers
    Key("exposure.source", CLASSIFIERS, off=""),
    Key("exposure.place", CLASSIFIERS),
    Key("exposure.path", CLASSIFIERS),
    Key("exposure.weight", CLASSIFIERS, least=0),
    Key("exposure.batch_size", CLASSIFIERS, least=0),
    Key("exposure.num_epochs", CLASSIFIERS, least=0),
    Key("exposure.num_steps", CLASSIFIERS, least=0),
    Key("exposure.learning_rate", CLASSIFIERS, above=0),
    Key("exposure.l2", CLASSIFIERS, least=0),
    # `results.json` holds the values of this section that its numbers come from
    Key("eval.batch_size", least=1, pooled=True, **ANEW),
    Key("eval.seed", FLOWS, least=0, resume=no_images_held_back, evaluate=True),
    Key("eval.draws", FLOWS, least=1, off=1, **ANEW),
    Key("eval.recompute_batches", FLOWS, least=1, **ANEW),
    # all are drawn at once, into one picture
    Key("eval.samples", FLOWS, least=0, below=10_001, off=0, pooled=True, **ANEW),
    Key("eval.baselines", (VECTORS,), choices=BASELINES, **ANEW),
    Key("eval.neighbors", (VECTORS,), least=1, **ANEW),
    Key("eval.limit_baselines", (VECTORS,), least=0, **ANEW),
    Key("detect.networks", CLASSIFIERS, least=1, **LATER),
    Key("detect.detectors", CLASSIFIERS, **LATER),
    Key("detect.limit_fit", CLASSIFIERS, least=0, **LATER),
    Key("detect.validation", CLASSIFIERS, least=4, **LATER),
    Key("detect.flows", CLASSIFIERS, off=(), **LATER),
    # tokens have no gradient, and no noise between them
    Key("detect.fssd_noise", CLASSIFIERS, choices=NOISE, off="validation", **LATER),
    Key("detect.perturb", CLASSIFIERS, off=False, **LATER),
    Key("detect.dropout_passes", CLASSIFIERS, least=0, **LATER),
    Key("detect.corrupted", CLASSIFIERS, off=(), **LATER),
    Key("detect.severities", CLASSIFIERS, **LATER),
    Key("detect.corrupted_images", CLASSIFIERS, least=0, **LATER),
    # a grid of flows, which no single run has
    Key("ablate.seeds", ()),
    Key("ablate.grids", ()),
)
ROWS = {key.name: key for key in TABLE}


def names(fact: str, config: dict | None = None) -> tuple[str, ...]:
    """Keys that have a fact, such as "per_host"; conditions are of a flat `config`.

    A section all of whose keys have it goes by its own name.
    """

    def has(key: Key) -> bool:
        if key.scored and fact in ("evaluate", "pooled"):
            return True
        value = getattr(key, fact)
        return bool(value(config) if callable(value) else value)

    chosen = []
    for section, rows in groupby(TABLE, key=lambda key: key.section):
        rows = list(rows)
        having = [key.name for key in rows if has(key)]
        chosen += [section] if len(having) == len(rows) else having
    return tuple(chosen)


def missing(config: ConfigDict | dict) -> list[str]:
    """Sections or keys that experiments of its kind have and `config` has not.

    But for those of `model`, which differ by the model's name.
    """
    common = (key.section for key in TABLE if key.kinds == ALL)
    sections = [name for name in dict.fromkeys(common) if name not in config]
    if sections:
        return sections
    flat, own = flatten(config), kind(config)
    needed = (key for key in TABLE if own in key.kinds and key.section != "model")
    return [key.name for key in needed if key.name not in flat]


def flatten(config: ConfigDict | dict, prefix: str = "") -> dict:
    """`{"a.b": value}` of a nested config."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def among(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a key is one of `keys`, or below one of them."""
    return any(key == k or key.startswith(k + ".") for k in keys)
