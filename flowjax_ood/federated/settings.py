"""How a federation is trained."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import optax

from flowjax_ood.arguments import whole_number
from flowjax_ood.federated.objective import VirtualOutliers
from flowjax_ood.training.optimizers import make_optimizer, make_schedule

Outliers = Literal["none", "generated", "own_tails", "real"]


class Recipe(NamedTuple):
    """SGD of a client: what its compiled step depends on."""

    learning_rate: float
    steps: int
    momentum: float
    decay: float

    def optimizer(self) -> optax.GradientTransformation:
        """Nesterov's SGD with coupled decay, by half a cosine to 0 after all steps."""
        return make_optimizer(
            make_schedule(self.learning_rate, "cosine", self.steps),
            name="sgd",
            clip_norm=0.0,
            l2=self.decay,
            scales_apart=False,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
        )


@dataclass(frozen=True)
class Settings:
    """How a federation is trained; the defaults are for a LeNet on small images.

    Attributes:
        rounds: after each, the server averages.
        steps: of a client in a round.
        batch_size: examples of a step, and virtual outliers.
        learning_rate: of SGD with Nesterov's momentum, by half a cosine over all
            rounds; the momentum starts anew in each round.
        momentum: of SGD.
        decay: coupled decay of all parameters.
        private: layers of the module that stay each client's own, such as the head.
        restricted: whether a client learns its own classes alone, or all of them.
        outliers: "none"; "generated" by `external_features`; "own_tails", those of
            Gaussians of a client's own classes, as VOS makes them; "real", features of
            other clients' images of external classes, which no client may see: a
            ceiling.
        begin: the first round, from 0, with outliers, and in which the generator
            learns.
        objective: what heads should say of outliers.
        pool: outliers that a client gets for a round.
        generator_steps: of Adam in a round.
        generator_batch: features of such a step.
        generator_rate: of Adam.
        generator_decay: its coupled decay.
        hidden: units of the generator.
        draws: of each outlier from the tail of a Gaussian.
        keep: how many of these count as tail.

    Raises ValueError for numbers out of range, unknown outliers, and outliers without
    `restricted`.
    """

    rounds: int = 20
    steps: int = 16
    batch_size: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9
    decay: float = 5e-4
    private: tuple[str, ...] = ("fc2",)
    restricted: bool = True
    outliers: Outliers = "none"
    begin: int = 5
    objective: VirtualOutliers = field(default_factory=VirtualOutliers)
    pool: int = 256
    generator_steps: int = 50
    generator_batch: int = 256
    generator_rate: float = 1e-3
    generator_decay: float = 1e-2
    hidden: int = 512
    draws: int = 1000
    keep: int = 1

    def __post_init__(self):
        numbers = ("rounds", "steps", "batch_size", "pool", "draws")
        for name in (*numbers, "generator_steps", "generator_batch", "hidden"):
            whole_number(name, getattr(self, name), 1)
        whole_number("begin", self.begin, 0)
        if not 1 <= whole_number("keep", self.keep) <= self.draws:
            raise ValueError(
                f"keep must lie in 1 ... draws ({self.draws}), got {self.keep}"
            )
        if self.outliers not in get_args(Outliers):
            raise ValueError(
                f"unknown outliers {self.outliers!r}; known: "
                f"{', '.join(get_args(Outliers))}"
            )
        if self.outliers != "none" and not self.restricted:
            raise ValueError(
                "outliers are of classes that a client does not have: with outliers="
                f"{self.outliers!r}, set restricted=True"
            )
        # errors of rates now, not in a round
        self.recipe.optimizer()
        self.generator_optimizer()

    @property
    def recipe(self) -> Recipe:
        """SGD of the clients; its schedule counts the steps of all rounds."""
        steps = self.rounds * self.steps
        return Recipe(self.learning_rate, steps, self.momentum, self.decay)

    def generator_optimizer(self) -> optax.GradientTransformation:
        """Adam of the generator."""
        return make_optimizer(
            self.generator_rate,
            clip_norm=0.0,
            l2=self.generator_decay,
            scales_apart=False,
        )
