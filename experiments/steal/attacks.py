"""Attacks: who asks what of whom, and how good the clone is."""

from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from experiments.steal.images import Images
from experiments.steal.targets import KEYED, ONE, PERCEPTUAL, PLAIN, TOLD, Trained
from flowjax_ood import defence
from flowjax_ood.data.random import bits
from flowjax_ood.defence.answers import Output

# what is asked, by its name in results
DIGITS, UPPER, SIMILAR = "digits", "upper digits", "clothing"
SOFT: Output = "probabilities"
LABELS: Output = "label"


@dataclass(frozen=True)
class Attack:
    """`target` is asked `queries`, each as often as it says, and answers `output`."""

    target: str
    queries: str
    output: Output = SOFT
    adaptive: bool = False

    @property
    def name(self) -> str:
        """Of files and of rows: unique."""
        asked = ", averaged" if self.adaptive else ""
        return f"{self.target}; {self.queries}{asked}; {self.output}"


ATTACKS = (
    *(Attack(target, DIGITS) for target in (ONE, PLAIN, KEYED, PERCEPTUAL)),
    *(Attack(target, DIGITS, LABELS) for target in (ONE, PLAIN, KEYED)),
    *(Attack(target, DIGITS, adaptive=True) for target in (PLAIN, KEYED)),
    *(Attack(target, SIMILAR) for target in (ONE, KEYED)),
    *(Attack(target, UPPER) for target in (ONE, PLAIN, KEYED, TOLD)),
)


def queries_of(attack: Attack, images: Images) -> np.ndarray:
    """The images that the attacker asks, uint8 `[N, H, W, C]`."""
    if attack.queries == SIMILAR:
        return images.similar
    if attack.queries == UPPER:
        return images.queries[images.upper(images.query_classes)]
    return images.queries


def measure(attack: Attack, config: ConfigDict, trained: Trained) -> dict:
    """Copy the target, and compare: accuracies, agreement, loss and numbers asked."""
    c, images = config.served, trained.images
    queries, target = queries_of(attack, images), trained.served(attack.target)
    often = {"repeats": c.repeats, "jitter": c.jitter} if attack.adaptive else {}
    clone = defence.knockoff(
        target,
        queries,
        student=trained.module,
        # as many whatever is asked: fewer queries are seen more often
        steps=-(-c.clone_epochs * len(images.queries) // c.batch_size),
        # the same start and order of queries against every target
        seed=int(bits(1, trained.seed, "clone")[0] >> np.uint64(33)),
        output=attack.output,
        batch_size=c.batch_size,
        **often,
    )
    found = defence.fidelity(clone, target, images.test, images.test_labels)
    return {
        "target": found.target,
        "clone": found.clone,
        # JSON has no NaN, which it is where the target is never right
        "relative": found.relative if found.target else None,
        "agreement": found.agreement,
        "loss": clone.loss,
        "queries": clone.queries,
    }
