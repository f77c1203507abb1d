"""A flow of labelled events that is a density of unlabelled ones, too."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.distributions.base_densities import StandardNormal
from flowjax_ood.distributions.flow import Flow, LogProbParts, ScaleParts


class ClassMixture(Flow):
    """`log p(x) = log sum_y p(x | y) p(y)` over K = `classes`, p(y) the same for all.

    Given `cond`, one-hot rows `[B, K]`, every method is that of the class, as in
    `Flow`; without it, that of the mixture: what is trained on labels scores events
    that have none. `class_log_joint` is `log p(x, y)` of every class.

        log_prob = flow.apply(variables, x, one_hot_condition(y, K))  # log p(x | y)
        log_prob = flow.apply(variables, x)                           # log p(x)

    Classes in `absent` have p(y) = 0, such as those that were left out of training.

    What depends on the class is computed K times: the base density alone where
    `conditional_bijector` is False, all of the flow otherwise, in one batch of K times
    the events. Its latents depend on the class then, and need cond. Source: Izmailov et
    al. 2020 (one Gaussian a class).

    Raises ValueError for less than one class that is not absent, and where nothing
    depends on the class: `conditional_bijector=False` with the base `StandardNormal`.
    """

    classes: int = 1
    absent: tuple[int, ...] = ()

    def __post_init__(self):
        whole_number("classes", self.classes, 1)
        self.absent = tuple(whole_number("absent", c, 0) for c in self.absent)
        outside = [label for label in self.absent if label >= self.classes]
        if outside:
            raise ValueError(
                f"absent classes must lie in 0 ... {self.classes - 1}, got {outside[0]}"
            )
        if not self._present:
            raise ValueError(f"all {self.classes} classes are absent: nothing is left")
        if not self.conditional_bijector and type(self.base) is StandardNormal:
            raise ValueError(
                "nothing of this flow depends on the class: give "
                "base=ConditionalNormal(), or conditional_bijector=True"
            )
        super().__post_init__()

    @property
    def _present(self) -> list[int]:
        return [label for label in range(self.classes) if label not in self.absent]

    def log_prob_parts(self, x: jax.Array, cond=None) -> LogProbParts:
        """Compute the two terms of the log-density, each `[B]` in nats.

        Without cond, the log-determinant is the mean over p(y | x) of those of the
        classes, and the other term is what is left: `log p(x) - logdet`.
        """
        if cond is not None:
            return super().log_prob_parts(x, cond)
        joint, logdets = self._by_class(x)
        log_prob = jax.nn.logsumexp(joint, 1)
        # where no class has a density, all are as likely
        known = jnp.isfinite(log_prob)[:, None]
        weights = jax.nn.softmax(jnp.where(known, joint, 0))
        logdet = jnp.sum(weights * logdets, 1)
        return LogProbParts(log_prob - logdet, logdet)

    def class_log_joint(self, x: jax.Array) -> jax.Array:
        """`log p(x, y) = log p(x | y) + log p(y)`: `[B, K]`, nats; -inf where absent.

        `jax.nn.log_softmax` of it is `log p(y | x)`. Raises ValueError as `log_prob`.
        """
        joint, _ = self._by_class(x)
        whole = jnp.full((x.shape[0], self.classes), -jnp.inf, joint.dtype)
        return whole.at[:, np.array(self._present)].set(joint)

    def log_prob_scales(self, x: jax.Array, cond=None) -> ScaleParts:
        """Compute the terms of each scale, of the class given. ValueError without."""
        self._check_given(cond, "terms by scale")
        return super().log_prob_scales(x, cond)

    def sample(self, key, num: int, temperature=1.0, cond=None) -> jax.Array:
        """Draw `num` events, without cond of classes drawn by p(y), as in `Flow`."""
        if cond is None:
            whole_number("num", num, 0)
            drawn, key = jax.random.split(key)
            present = jnp.array(self._present)
            labels = jax.random.choice(drawn, present, (num,))
            cond = jax.nn.one_hot(labels, self.classes, dtype=jnp.float32)
        return super().sample(key, num, temperature, cond)

    def sample_and_log_prob(self, key, num: int, temperature=1.0, cond=None):
        """`(x, log p(x))`: what `sample` draws, and its log-density `[num]` in nats.

        Without cond, this is the mixture's density at x, which is not rounded again.
        """
        if cond is not None:
            return super().sample_and_log_prob(key, num, temperature, cond)
        x = self.sample(key, num, temperature)
        return x, self.log_prob(x)

    def _by_class(self, x):
        """`(log p(x, y), log-determinants)` of the classes present, each `[B, P]`."""
        present = np.eye(self.classes, dtype=np.float32)[self._present]
        each = len(present)
        batch = x.shape[0]
        units = jnp.broadcast_to(present, (batch, *present.shape))
        units = units.reshape(-1, self.classes)

        def repeated(array):
            return jnp.repeat(array, each, axis=0)

        if self.conditional_bijector:
            self._check(x, None)
            parts = Flow.log_prob_parts(self, repeated(x), units)
            log_pz, logdet = (part.reshape(batch, each) for part in parts)
        else:
            z, logdet = self._forward(x, None)
            log_pz = self.base.log_prob(jax.tree.map(repeated, z), units)
            log_pz, logdet = log_pz.reshape(batch, each), logdet[:, None]
        return log_pz + logdet - math.log(each), logdet

    def _forward(self, x, cond):
        if self.conditional_bijector:
            self._check_given(cond, "latents")
        return super()._forward(x, cond)

    @nn.nowrap
    def _check_given(self, cond, what: str):
        if cond is None:
            raise ValueError(
                f"{what} of this flow are those of a class; give cond, one-hot rows "
                f"[B, {self.classes}] (one_hot_condition(labels, {self.classes}))"
            )
