"""What every flow and classifier keeps to, whatever JAX is configured to do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Chain, SplineCoupling
from flowjax_ood.distributions import ConditionalNormal, Flow, class_log_prob
from flowjax_ood.distributions.class_conditional import marginal_log_prob
from flowjax_ood.masks import alternate_checkerboard
from flowjax_ood.models import (
    MAF,
    BiLSTM,
    EfficientNetLite0,
    FlowPP,
    Glow,
    Jet,
    LeNet,
    RealNVP,
    ResNet34,
    TabularRealNVP,
    TarFlow,
    class_conditional,
)
from flowjax_ood.networks import ResNet

KEY = jax.random.key(0)
BATCH, K = 4, 3

real_nvp = partial(RealNVP, (4, 4, 1), scales=1, couplings=2, width=4, blocks=2)
glow = partial(Glow, (4, 4, 1), scales=2, steps=1, width=4, layers=1)
net = partial(ResNet, width=4, blocks=1, norm="none")
FLOWS = {
    "resnet": partial(RealNVP, (4, 4, 1), width=4, blocks=1),
    "groups": partial(real_nvp, norm_group=2, stack="scan"),
    "resnet_ae": partial(real_nvp, st_net="resnet_ae", zero_init=True),
    "conditional": partial(real_nvp, base=ConditionalNormal((4,), "channel")),
    "glow": partial(glow, stack="scan"),
    "glow_convnet": partial(glow, st_net="glow_convnet", conv1x1="plu"),
    "mixture": partial(glow, coupling="mixture", components=2),
    "jet": partial(Jet, (4, 4, 1), patch=2, couplings=5, width=4, depth=1, heads=2),
    "flow_pp": partial(FlowPP, (4, 4, 1), parts=(1, 1, 1), width=4, blocks=1),
    "maf": partial(MAF, (2, 2, 1), layers=2, hidden=(4,)),
    "tarflow": partial(TarFlow, (4, 4, 1), patch=2, blocks=2, width=4, layers=1),
    "classes": lambda: class_conditional(glow(), K, "couplings"),
    "mlp": partial(TabularRealNVP, 6, couplings=2, width=4, zero_init=True),
    "spline": lambda: Flow(
        Chain([SplineCoupling(net, alternate_checkerboard, bins=3)]), (4, 4, 1)
    ),
}
CONDITIONAL = ("conditional", "classes")
CLASSIFIERS = {
    "lenet": (LeNet(), (8, 8, 1)),
    "resnet34": (ResNet34(blocks=(1, 1), widths=(4, 8)), (8, 8, 3)),
    "efficientnet": (EfficientNetLite0(classes=2), (32, 32, 3)),
    "lstm": (BiLSTM(length=10, hidden=4), (10,)),
}


def run_flow(flow, x, cond):
    """Everything a flow does: in training mode, by class, and backwards."""
    variables = flow.init(KEY, x, cond)
    call = partial(flow.apply, variables, cond=cond)
    bits, updates = call(x, method="bits_per_dim", mutable=["batch_stats"])
    args = {"num": x.shape[0], "temperature": 0.7}
    samples = call(KEY, **args, method="sample_and_log_prob")
    back = call(call(x, method="latents"), method="from_latents")
    mixture = 0.0
    if cond is not None:
        mixture = marginal_log_prob(class_log_prob(flow, variables, x, cond.shape[1]))
    return variables, updates, bits, samples, back, jnp.float32(mixture)


def run_classifier(module, x):
    variables = module.init(KEY, x)
    logits, updates = module.apply(variables, x, mutable=["batch_stats"])
    return variables, logits, updates, module.apply(variables, x)


def subject(name):
    """`(function, shapes of its arguments)`."""
    if name in CLASSIFIERS:
        module, shape = CLASSIFIERS[name]
        dtype = jnp.int32 if name == "lstm" else jnp.float32
        given = jax.ShapeDtypeStruct((BATCH, *shape), dtype)
        return partial(run_classifier, module), (given,)
    flow = FLOWS[name]()
    x = jax.ShapeDtypeStruct((BATCH, *flow.event_shape), jnp.float32)
    cond = jax.ShapeDtypeStruct((BATCH, K), jnp.float32)
    return partial(run_flow, flow), (x, cond if name in CONDITIONAL else None)


@pytest.mark.parametrize("name", [*FLOWS, *CLASSIFIERS])
def test_all_is_float32_under_x64_and_no_rank_is_promoted(name):
    function, args = subject(name)
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        outputs = jax.eval_shape(function, *args)
    dtypes = {
        jax.tree_util.keystr(path): leaf.dtype.name
        for path, leaf in jax.tree_util.tree_leaves_with_path(outputs)
    }
    assert {n: d for n, d in dtypes.items() if d != "float32"} == {}


@pytest.mark.parametrize("name", ["glow", "conditional"])
def test_narrow_events_and_conditions_are_widened(name):
    function, args = subject(name)
    narrow = jax.tree.map(lambda a: a.update(dtype=jnp.bfloat16), args)
    outputs = jax.eval_shape(function, *narrow)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(outputs)} == {"float32"}


@pytest.mark.thorough
def test_narrow_events_have_the_density_of_the_same_numbers():
    flow, dtype = FLOWS["mlp"](), jnp.bfloat16
    x = jax.random.normal(KEY, (BATCH, 6)).astype(dtype)
    cond = jax.random.normal(KEY, (BATCH, K)).astype(dtype)
    variables = flow.init(KEY, x, cond)
    keys = iter(range(100))
    moved = jax.tree.map(
        lambda a: a + 0.3 * jax.random.normal(jax.random.key(next(keys)), a.shape),
        variables,
    )
    wide = x.astype(jnp.float32), cond.astype(jnp.float32)
    expected = flow.apply(moved, *wide)
    np.testing.assert_array_equal(flow.apply(moved, x, cond), expected)
    z = flow.apply(moved, *wide, method="latents")
    assert np.abs(z - wide[0]).max() > 0.1
    back = flow.apply(moved, z.astype(dtype), cond, method="from_latents")
    z = z.astype(dtype).astype(jnp.float32)
    again = flow.apply(moved, z, wide[1], method="from_latents")
    np.testing.assert_array_equal(back, again)


EXPORTED = ("glow", "mlp", "conditional", "classes", "flow_pp", "jet", "maf", "tarflow")


@pytest.mark.parametrize("name", [*EXPORTED, "lenet", "lstm"])
def test_a_batch_of_any_size_is_exported(name):
    _, args = subject(name)
    args = [a for a in args if a is not None]
    module = CLASSIFIERS[name][0] if name in CLASSIFIERS else FLOWS[name]()
    variables = jax.eval_shape(module.init, KEY, *args)
    (size,) = jax.export.symbolic_shape("b")
    symbolic = [a.update(shape=(size, *a.shape[1:])) for a in args]
    exported = jax.export.export(jax.jit(module.apply))(variables, *symbolic)
    assert exported.out_avals[0].shape[0] == size


@pytest.mark.thorough
def test_an_exported_flow_is_the_flow():
    flow = FLOWS["mlp"]()
    x = jax.random.normal(KEY, (7, 6))
    variables = flow.init(KEY, x)
    (size,) = jax.export.symbolic_shape("b")
    given = jax.ShapeDtypeStruct((size, 6), jnp.float32)
    exported = jax.export.export(jax.jit(flow.apply))(variables, given)
    expected = flow.apply(variables, x)
    np.testing.assert_allclose(exported.call(variables, x), expected, rtol=1e-6)


@pytest.mark.thorough
def test_float64_parameters_have_float64_densities_and_samples():
    flow = FLOWS["mlp"]()
    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (2, 6), jnp.float32)
        variables = flow.init(KEY, x)
        wide = jax.tree.map(lambda a: a.astype(jnp.float64), variables)
        log_prob = flow.apply(wide, x)
        sample = flow.apply(wide, KEY, 2, method="sample")
        assert log_prob.dtype == sample.dtype == np.float64
        # and so have float64 events
        by_event = flow.apply(variables, x.astype(jnp.float64))
        np.testing.assert_allclose(by_event, log_prob, rtol=1e-12)
