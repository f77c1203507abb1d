"""Interventions on couplings: on flows whose code, or lack of it, is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.analysis.coadaptation import (
    INTERVENTIONS,
    CouplingStack,
    UnsuitableFlow,
    coadaptation,
    donors,
    interventions,
)
from flowjax_ood.analysis.couplings import record_couplings
from flowjax_ood.bijectors import AffineCoupling, Chain, Logit
from flowjax_ood.distributions import Flow
from flowjax_ood.figures.coadaptation import LABELS
from flowjax_ood.models import RealNVP

SHAPE = (4, 4, 1)


class Mirror(nn.Module):
    """An st-network without parameters: t is `gain` times the image upside down."""

    gain: float = -1.0

    @nn.compact
    def __call__(self, x, features, cond=None):
        t = self.gain * x[:, ::-1]
        return jnp.concatenate([jnp.zeros_like(t), t], -1)


def mirrors(*gains: float, indices=range(9)) -> tuple[Flow, dict]:
    """Horizontal couplings whose t mirrors what they see, s = 0."""
    layers = [
        AffineCoupling(
            lambda name, g=g: Mirror(g, name=name), masks.alternate_horizontal, k
        )
        for k, g in zip(indices, gains)
    ]
    flow = Flow(Chain(layers), SHAPE)
    return flow, flow.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))


def images(kind: str, count: int = 80) -> np.ndarray:
    """Halves that mirror each other ("twins"), or have nothing in common."""
    rng = np.random.default_rng(0)
    top, other = rng.standard_normal((2, count, 2, 4, 1)).astype(np.float32)
    bottom = top[:, ::-1] if kind == "twins" else 0.01 * other
    return np.concatenate([top, bottom], 1)


def measured(found, name: str, who: str = "own", layer: int = 1) -> float:
    return found[name][layer][who]["r2_within"]


def test_a_code_is_found_where_there_is_one():
    """Coupling 1 writes the top into the dark bottom; coupling 2 reads it there."""
    flow, variables = mirrors(1.0, -1.0)
    found = coadaptation(flow, variables, np.split(images("strangers"), 2))
    assert measured(found, "untouched") > 0.99
    # predictions follow the code, whatever it is written into
    assert measured(found, "content_swapped") > 0.99
    for swap in ("half_swapped", "code_swapped"):
        assert measured(found, swap) < -0.5
        assert measured(found, swap, "donor") > 0.99
    assert measured(found, "half_noise") < -0.5
    assert abs(measured(found, "unwritten")) < 0.05


def test_no_code_is_found_where_there_is_none():
    """Coupling 1 does nothing; halves mirror each other, and coupling 2 knows."""
    flow, variables = mirrors(0.0, -1.0)
    found = coadaptation(flow, variables, np.split(images("twins"), 2))
    for same in ("untouched", "code_swapped", "unwritten"):
        assert measured(found, same) > 0.99
    for swap in ("half_swapped", "content_swapped"):
        assert measured(found, swap) < -0.5
        assert measured(found, swap, "donor") > 0.99
    assert measured(found, "code_swapped", "donor") < -0.5
    assert measured(found, "half_noise") < -0.5


def test_what_comes_before_the_intervention_is_untouched():
    flow, variables = mirrors(1.0, -1.0, -0.5, -0.5)
    found = coadaptation(flow, variables, [images("strangers")], depth=2)
    assert [*found] == [*INTERVENTIONS] == [*LABELS]
    for act, layers in found.items():
        assert len(layers) == 4
        assert (layers[1]["donor"] is None) == ("swapped" not in act)
    for act in ("half_swapped", "half_noise", "unwritten"):
        for layer in (0, 1):
            assert found[act][layer]["own"] == found["untouched"][layer]["own"]
        assert found[act][2]["own"] != found["untouched"][2]["own"]


def test_donors_are_other_images():
    for count in (2, 3, 50):
        found = donors(count, np.random.default_rng(count))
        assert sorted(found) == [*range(count)]
        assert (found != np.arange(count)).all()
    with pytest.raises(ValueError, match="another image"):
        donors(1, np.random.default_rng(0))


def test_noise_has_the_halfs_moments_pixel_by_pixel():
    flow, variables = mirrors(1.0, -1.0)
    x = images("strangers", 4000) + 3 * np.arange(4)[:, None]
    stack = CouplingStack(flow, variables)
    records = stack.run(jnp.asarray(x, jnp.float32))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(x.shape, np.float32)
    acts = interventions(records, 1, donors(len(x), rng), noise)
    (reader,) = stack.run(jnp.asarray(x, jnp.float32), acts["half_noise"])[1:]
    half, was = reader.seen, records[1].x
    np.testing.assert_allclose(
        reader.x[:, half].mean(0), was[:, half].mean(0), atol=0.1
    )
    np.testing.assert_allclose(reader.x[:, half].std(0), was[:, half].std(0), rtol=0.1)
    np.testing.assert_array_equal(reader.x[:, ~half], was[:, ~half])
    # and nothing else of it
    residual = was[:, half] - was[:, half].mean(0)
    assert abs((reader.x[:, half] * residual).mean()) < 0.05


@pytest.mark.thorough
@pytest.mark.parametrize("stack", ["chain", "scan"])
def test_one_by_one_is_all_at_once(stack):
    args = {"scales": 1, "couplings": 4, "mask": "cycle", "width": 2, "blocks": 0}
    flow = RealNVP(SHAPE, stack=stack, **args)
    x = jax.random.uniform(jax.random.key(0), (3, *SHAPE))
    variables = flow.init(jax.random.key(1), x)
    # batch-norm statistics of their own for each coupling
    variables["batch_stats"] = jax.tree.map(
        lambda a: a + jax.random.uniform(jax.random.key(2), a.shape),
        variables["batch_stats"],
    )
    records = record_couplings(flow, variables, x)
    one_by_one = CouplingStack(flow, variables)
    assert len(one_by_one) == len(records) == 4
    for one, other in zip(one_by_one.run(x), records, strict=True):
        assert one.path == other.path
        for name in ("x", "z", "s", "t"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), atol=1e-5
            )
        np.testing.assert_array_equal(one.changed, other.changed)
    hooked = one_by_one.run(x, {2: lambda h: 0 * h + 1})
    np.testing.assert_array_equal(hooked[2].x, 1)
    np.testing.assert_allclose(hooked[1].z, records[1].z, atol=1e-5)
    # a cycle-mask's couplings read what the one before wrote: it is suitable, too
    assert len(coadaptation(flow, variables, [x])["untouched"]) == 4


def test_flows_in_which_one_cannot_intervene_are_refused():
    deep = RealNVP((8, 8, 1), width=2, blocks=0, norm="none")
    with pytest.raises(UnsuitableFlow, match=r"Squeeze at bijectors_4.*scales=1"):
        CouplingStack(deep, {})
    with pytest.raises(UnsuitableFlow, match="no affine couplings"):
        CouplingStack(Flow(Logit(), (8, 8, 1)), {})
    flow, variables = mirrors(1.0)
    with pytest.raises(UnsuitableFlow, match=r"depth must be in 1 \.\.\. 0, got 1"):
        coadaptation(flow, variables, [images("twins")])
    flow, variables = mirrors(1.0, 1.0, indices=(0, 0))
    with pytest.raises(UnsuitableFlow, match="coupling 2 does not read just what"):
        coadaptation(flow, variables, [images("twins")])
    flow, variables = mirrors(1.0, 1.0)
    with pytest.raises(ValueError, match=r"\[2\]; there are 2"):
        CouplingStack(flow, variables).run(images("twins"), {2: lambda h: h})
    with pytest.raises(ValueError, match=r"before coupling 1 returned shape \(1, 4"):
        CouplingStack(flow, variables).run(images("twins"), {1: lambda h: h[:1]})
    with pytest.raises(ValueError, match="at least one batch"):
        coadaptation(flow, variables, [])
