"""Federations of one seed: their rows, and rounds that are kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core.classifier import classifier
from experiments.core.systems import labels_of
from flowjax_ood import federated, models
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.federated import FederationState, Rounds, Settings
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints

HEAD = "fc2"
ALONE, ONE_HEAD = "local only", "FedAvg, one head"
PLAIN = "FedAvg, local heads"
TAILS, FOSTER = "own-class tails (as VOS)", "generated (FOSTER)"
ORACLE = "real outliers (oracle)"
# `Settings` of each row; PLAIN and those below it are the same until outliers begin
ROWS: dict[str, dict[str, Any]] = {
    ALONE: {"private": ("conv1", "conv2", "fc1", HEAD)},
    ONE_HEAD: {"private": (), "restricted": False},
    PLAIN: {},
    TAILS: {"outliers": "own_tails"},
    FOSTER: {"outliers": "generated"},
    ORACLE: {"outliers": "real"},
}
WARM_UP, WARM = "warm-up", (PLAIN, TAILS, FOSTER, ORACLE)


@dataclass(frozen=True, eq=False)
class Clients:
    """The clients of one seed: rows of the training set, and how they are trained."""

    module: models.LeNet
    train: ImageSet
    parts: list[np.ndarray]
    settings: Settings
    seed: int

    @classmethod
    def of(cls, config: ConfigDict, train: ImageSet, seed: int) -> "Clients":
        """The clients of a config.

        Raises ValueError as `Federation` does, and where outliers never begin.
        """
        c = config.clients
        if c.begin >= c.rounds:
            raise ValueError(
                f"outliers begin in round {c.begin}, counted from 0, and there are "
                f"{c.rounds} rounds: set begin to less than rounds"
            )
        labels = labels_of(train)
        parts = federated.partition(labels, c.count, c.classes, seed=seed)
        module = classifier(train.images, int(labels.max()) + 1)
        settings = Settings(
            rounds=c.rounds,
            steps=c.steps,
            batch_size=c.batch_size,
            learning_rate=c.learning_rate,
            private=(HEAD,),
            begin=c.begin,
            objective=federated.VirtualOutliers(c.weight, c.kind),
            generator_steps=c.generator_steps,
            generator_rate=c.generator_rate,
            draws=c.draws,
        )
        clients = cls(module, train, parts, settings, seed)
        # errors now, not after hours: those of the row that asks for most
        clients.federation(**ROWS[FOSTER])
        return clients

    def federation(self, **changes) -> federated.Federation:
        """The federation of a row."""
        return federated.Federation(
            *(self.module, self.parts, self.train.images, labels_of(self.train)),
            replace(self.settings, **changes),
            jax.random.key(self.seed),
        )

    def trained(self, row: str, workdir: Path, tick: Callable[[], None]) -> Rounds:
        """Train the federation of a row, or resume it; `tick` counts trained rounds.

        The last round is kept in `workdir`; rounds before outliers are trained once for
        all rows that share them. The log ends with the last round.
        """
        start = None
        if row in WARM:
            begin = self.settings.begin
            start = self._kept(WARM_UP, {}, workdir, None, begin, tick).state
        return self._kept(row, ROWS[row], workdir, start, None, tick)

    def _kept(
        self,
        row: str,
        changes: dict,
        workdir: Path,
        start: FederationState | None,
        until: int | None,
        tick: Callable[[], None],
    ) -> Rounds:
        with Checkpoints(self._directory(row, workdir), keep=1) as checkpoints:
            checkpoints.clean()
            facts = {}
            if checkpoints.steps():
                template = jax.eval_shape(self.federation(**changes).start)
                start, facts, _ = checkpoints.restore_newest(template)

            def keep(state: FederationState, metrics: dict) -> None:
                checkpoints.save(int(state.round), state, metrics)
                tick()

            run = federated.rounds(
                *(self.module, self.parts, self.train.images, labels_of(self.train)),
                replace(self.settings, **changes),
                jax.random.key(self.seed),
                start=start,
                until=until,
                kept=keep,
            )
            # the last round's, where all were kept
            return replace(run, log=run.log or [facts])

    def _directory(self, row: str, workdir: Path) -> Path:
        name = "".join(c if c.isalnum() else "_" for c in row)
        return workdir / f"seed_{self.seed}" / name

    def rounds_of(self, row: str) -> int:
        """Rounds that a row trains; those before outliers are counted with PLAIN."""
        every = self.settings.rounds
        return every - self.settings.begin if row in WARM and row != PLAIN else every

    def kept_rounds(self, row: str, workdir: Path) -> int:
        """How many of these are kept in `workdir`, and need no training."""

        def newest(row: str) -> int:
            with Checkpoints(self._directory(row, workdir), keep=1) as checkpoints:
                return checkpoints.latest_step() or 0

        if row == PLAIN:
            return max(newest(WARM_UP), newest(PLAIN))
        before = self.rounds_of(PLAIN) - self.rounds_of(row)
        return max(newest(row) - before, 0)
