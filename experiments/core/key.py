"""What a config key is, and the kinds of experiments whose configs have it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from ml_collections import ConfigDict

# greatest values, beyond any machine, or any patience, of today: a slip of the keyboard
WIDTH, LAYERS, BATCH, AHEAD, READERS, SIDE = 2**16, 1000, 2**24, 2**16, 256, 2**13


class Kind(enum.Enum):
    """Kind of an experiment: a flow, classifiers to compare detectors, or a system."""

    IMAGES = "a flow on images"
    VECTORS = "a flow on vectors"
    CLASSIFIER = "classifiers of images"
    TOKENS = "classifiers of tokens"
    LIGHT_FIELD = "volumes from light fields"
    SCENES = "a monitor of scenes"
    SERVED = "an ensemble that is served"
    CLIENTS = "clients that learn together"

    @property
    def classifies(self) -> bool:
        """Whether it is for the command `detect`."""
        return self in CLASSIFIERS

    @property
    def command(self) -> str | None:
        """The one command that such a config is for; None for flows and classifiers."""
        return SYSTEMS[self][1] if self in SYSTEMS else None


IMAGES, VECTORS, TOKENS = Kind.IMAGES, Kind.VECTORS, Kind.TOKENS
FLOWS, CLASSIFIERS = (IMAGES, VECTORS), (Kind.CLASSIFIER, TOKENS)
ALL = FLOWS + CLASSIFIERS
# experiments of a command of their own: the section that tells them, and the command
SYSTEMS = {
    Kind.LIGHT_FIELD: ("light_field", "reconstruct"),
    Kind.SCENES: ("scenes", "monitor"),
    Kind.SERVED: ("served", "steal"),
    Kind.CLIENTS: ("clients", "federated"),
}
EVERY = ALL + tuple(SYSTEMS)

# `model.name`, and what such a model is of
MODELS = {
    "real_nvp": IMAGES,
    "glow": IMAGES,
    "jet": IMAGES,
    "maf": IMAGES,
    "tarflow": IMAGES,
    "flow_pp": IMAGES,
    "tabular_real_nvp": VECTORS,
    "lenet": Kind.CLASSIFIER,
    "resnet34": Kind.CLASSIFIER,
    "bilstm": TOKENS,
}


def kind(config: ConfigDict | dict) -> Kind:
    """The kind of an experiment; of an unknown model, what its sections look like."""
    for system, (section, _) in SYSTEMS.items():
        if section in config:
            return system
    likely = Kind.CLASSIFIER if "detect" in config else IMAGES
    name = config.get("model", {}).get("name")
    known = MODELS.get(name, likely) if isinstance(name, str) else likely
    return known if known.classifies == likely.classifies else likely


# whether another value of a key makes no difference, by the flat config it is in
Condition = bool | Callable[[dict], bool]
# of the values of a key; `(str,)` is a tuple of text
KeyType = type | tuple[type]


@dataclass(frozen=True)
class Key:
    """A config key and what the commands may do with it.

    Args:
        name: such as "data.limit_test".
        type: of its values, `(str,)` being a tuple of text; by kind where these differ.
        kinds: the kinds of experiment whose configs have it.
        least: least value, of each number of a tuple.
        most: greatest value, of each number of a tuple; of integers `COUNT` or less.
        above: all values are above this.
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
        older: of a key that came later, the value of configs written before it.
    """

    name: str
    type: KeyType | dict[Kind, KeyType]
    kinds: tuple[Kind, ...] = ALL
    least: float | None = None
    most: float | None = None
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
    older: object = None

    @property
    def section(self) -> str:
        """The part of the name before the first dot; a key without one is its own."""
        return self.name.partition(".")[0]

    def type_of(self, of: Kind) -> KeyType | None:
        """The type of its values in an experiment of that kind, if it has the key."""
        return self.type.get(of) if isinstance(self.type, dict) else self.type
