"""The paper's checkpoints: the same numbers, and no tensor lost or made up."""

import math
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import AffineCoupling, leaves, walk
from flowjax_ood.distributions import discrete_log_likelihood
from flowjax_ood.interop import load_original

PARITY = Path(__file__).parents[1] / "parity"
ARCHITECTURES = {
    "realnvp_gray": "RealNVP",
    "realnvp_rgb3": "RealNVP",
    "realnvp_nobn_noskip": "RealNVP",
    "checkerboard8": "RealNVP8Layers",
    "horizontal3": "RealNVPMaskHorizontal3Layers",
    "cycle8": "RealNVPCycleMask",
    "bottleneck_resnet_ae": "RealNVP",
    "bottleneck_autoencoder": "RealNVP",
    "glow_highway": "Glow",
    "glow_convnet_rgb": "Glow",
}
# that each bijector has an inverse, test_laws.py says
INVERTED = ("realnvp_gray", "glow_highway")


@cache
def arrays(name) -> dict:
    with np.load(PARITY / f"{name}.npz") as file:
        return dict(file)


def state_of(name) -> dict:
    prefix = "state/"
    found = arrays(name).items()
    return {k.removeprefix(prefix): a for k, a in found if k.startswith(prefix)}


def as_original(z) -> np.ndarray:
    """Latents `[B, D]` in the original's order: each scale flattened as C, H, W."""
    parts = [np.asarray(part).transpose(0, 3, 1, 2) for part in leaves(z)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


@pytest.mark.accelerator
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parity_with_the_original(name):
    case = arrays(name)
    x = (case["x_uint8"] + case["noise"]).transpose(0, 2, 3, 1) / 256
    flow, variables = load_original(state_of(name), ARCHITECTURES[name], x.shape[1:])

    # these programs run once: XLA's optimisation passes would cost more than they save
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def compute(variables, x):
        parts = flow.apply(variables, x, method="log_prob_parts")
        z = flow.apply(variables, x, method="latents")
        if name not in INVERTED:
            return parts, z, x
        return parts, z, flow.apply(variables, z, method="from_latents")

    x = jnp.asarray(x, jnp.float32)
    parts, z, again = compute(variables, x)
    # the original scales pixels by 255 and by 1/256, and counts both
    extra = flow.dims * math.log(255 / 256)
    discrete = discrete_log_likelihood(parts.log_prob, flow.dims)
    np.testing.assert_allclose(parts.logdet + extra, case["logdet"], rtol=1e-5)
    np.testing.assert_allclose(discrete + extra, case["log_likelihood"], rtol=1e-5)
    np.testing.assert_allclose(as_original(z), case["z"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(again, x, atol=1e-5)


def test_every_case_has_a_file_and_every_file_a_case():
    assert {path.stem for path in PARITY.glob("*.npz")} == set(ARCHITECTURES)


def test_names_of_data_parallel_training_are_understood():
    state = state_of("horizontal3")
    shape = (7, 8, 1)
    architecture = ARCHITECTURES["horizontal3"]
    plain = load_original(state, architecture, shape)[1]
    wrapped = {f"module.{name}": array for name, array in state.items()}
    jax.tree.map(
        np.testing.assert_array_equal,
        load_original(wrapped, architecture, shape)[1],
        plain,
    )


# --- tabular -----------------------------------------------------------------------


def tabular_state(dim=4, width=5, layers=2, couplings=12) -> dict:
    """A made-up state, the linear maps at their places in a torch `Sequential`."""
    rng = np.random.default_rng(0)
    places = [0, *range(3, 3 + 2 * layers, 2), 3 + 2 * layers]
    sizes = [dim, *[width] * (layers + 1), 2 * dim]
    state = {}
    for k in range(couplings):
        for place, (fan_in, fan_out) in zip(places, pairwise(sizes), strict=True):
            name = f"body.{k}.st_net.{place}"
            state[f"{name}.weight"] = rng.normal(size=(fan_out, fan_in)) / fan_in
            state[f"{name}.bias"] = rng.normal(size=fan_out)
        state[f"body.{k}.rescale.weight_g"] = rng.uniform(0.5, 1, dim)
        state[f"body.{k}.rescale.weight_v"] = rng.normal(size=dim)
    return {name: array.astype(np.float32) for name, array in state.items()}


def tabular_forward(state, x, couplings, places):
    """The tabular flow of the paper's appendix K in NumPy: `(z, logdet)`."""
    dim, logdet = x.shape[1], 0
    for k in range(couplings):
        seen = (np.arange(dim) < dim // 2) ^ (k % 2 == 1)
        h = np.where(seen, x, 0)
        for place in places:
            name = f"body.{k}.st_net.{place}"
            h = h @ state[f"{name}.weight"].T + state[f"{name}.bias"]
            h = h if place == places[-1] else np.maximum(h, 0)
        v = state[f"body.{k}.rescale.weight_v"]
        s = state[f"body.{k}.rescale.weight_g"] * v / np.abs(v) * np.tanh(h[:, :dim])
        s, t = np.where(seen, 0, s), np.where(seen, 0, h[:, dim:])
        x, logdet = (x + t) * np.exp(s), logdet + s.sum(1)
    return x, logdet


@pytest.mark.thorough
@pytest.mark.parametrize(("layers", "places"), [(0, (0, 3)), (2, (0, 3, 5, 7))])
def test_tabular_against_numpy(layers, places):
    # 12 couplings, by bare numbers: "1.st_net." is part of "11.st_net."
    state = tabular_state(layers=layers)
    bare = {name.removeprefix("body."): array for name, array in state.items()}
    flow, variables = load_original(bare, "RealNVPTabular", (4,))
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    z, logdet = tabular_forward(state, x, 12, places)
    parts = flow.apply(variables, x, method="log_prob_parts")
    np.testing.assert_allclose(parts.logdet, logdet, rtol=1e-4, atol=1e-4)
    latents = flow.apply(variables, x, method="latents")
    np.testing.assert_allclose(latents, z, rtol=1e-4, atol=1e-4)


def test_counters_are_not_parameters():
    state = tabular_state(couplings=2)
    state["body.0.norm.num_batches_tracked"] = np.array(7)
    _, variables = load_original(state, "RealNVPTabular", (4,))
    assert set(variables) == {"params"}


# --- errors ------------------------------------------------------------------------


def load(name, *, architecture=None, shape=(8, 8, 1), drop=(), **extra):
    state = {k: a for k, a in state_of(name).items() if k not in drop} | extra
    return load_original(state, architecture or ARCHITECTURES[name], shape)


@cache
def some_net(name) -> str:
    """The name of one coupling of a checkpoint that is not the first."""
    ends = (".rescale.weight_g",)
    names = [k for k in state_of(name) if k.endswith(ends)]
    return sorted(names)[1].removesuffix(ends[0])


def test_an_unknown_architecture():
    with pytest.raises(
        ValueError, match="unknown architecture 'Glow2'; known: RealNVP"
    ):
        load("cycle8", architecture="Glow2")


@pytest.mark.parametrize(
    "tensor",
    [
        "rescale.weight_v",
        "st_net.in_conv.conv.weight_v",
        "st_net.blocks.0.out_conv.conv.bias",
        "st_net.out_norm.running_var",
    ],
)
def test_a_missing_tensor(tensor):
    name = f"{some_net('checkerboard8')}.{tensor}"
    with pytest.raises(ValueError, match=rf"(?s){tensor.split('.')[-2]}"):
        load("checkerboard8", drop=(name,))


def test_a_missing_layer():
    # nothing of the layer is there: the flow's own shapes tell
    net = f"{some_net('checkerboard8')}.st_net.out_norm."
    gone = [f"{net}{end}" for end in ("weight", "bias", "running_mean", "running_var")]
    with pytest.raises(ValueError, match=r"out_norm/.* needs shape .*, got nothing"):
        load("checkerboard8", drop=gone)


def test_a_missing_tensor_that_sizes_are_read_from():
    state = state_of("checkerboard8")
    name = min(k for k in state if k.endswith("st_net.in_conv.conv.weight_g"))
    with pytest.raises(ValueError, match=f"lacks the tensor '{name}'"):
        load("checkerboard8", drop=(name,))


def test_a_tensor_that_is_left_over():
    extra = {"body.99.extra": np.zeros(3)}
    with pytest.raises(
        ValueError, match=r"1 tensors were not used, e.g. body.99.extra"
    ):
        load("cycle8", **extra)


def test_a_tensor_of_the_wrong_shape():
    net = some_net("cycle8")
    wrong = {f"{net}.st_net.out_norm.bias": np.zeros(7)}
    message = r"out_norm/bias needs shape \(6,\), got \(7,\)"
    with pytest.raises(ValueError, match=message):
        load("cycle8", **wrong)


def test_images_of_another_size():
    # a convolution would not notice, the bottleneck's linear maps do
    with pytest.raises(ValueError, match=r"does not fit the flow on \(16, 16, 1\)"):
        load("bottleneck_resnet_ae", shape=(16, 16, 1))
    with pytest.raises(ValueError, match="does not fit"):
        load("cycle8", shape=(8, 8, 3))


def test_another_number_of_couplings():
    with pytest.raises(ValueError, match=r"holds 8 couplings, RealNVP on .* has 4"):
        load("cycle8", architecture="RealNVP")


def test_a_state_without_couplings():
    with pytest.raises(ValueError, match=r"no coupling layers found.*fc\.weight"):
        load_original({"fc.weight": np.zeros((2, 2))}, "RealNVP", (8, 8, 1))


def glow_state() -> dict:
    step = "body.3.{}.module1.{}"
    names = {
        step.format(0, "bias"): (1, 4, 1, 1),
        step.format(0, "logs"): (1, 4, 1, 1),
        step.format(1, "weight"): (4, 4),
        step.format(2, "st_net.in_conv.conv.weight"): (6, 2, 3, 3),
        step.format(2, "st_net.in_conv.conv.bias"): (6,),
        step.format(2, "rescale.weight_g"): (2, 1, 1),
        step.format(2, "rescale.weight_v"): (2, 1, 1),
    }
    return {name: np.ones(shape, np.float32) for name, shape in names.items()}


def test_a_glow_is_no_real_nvp():
    with pytest.raises(ValueError, match="none of resnet, resnet_ae, autoencoder"):
        load_original(glow_state(), "RealNVP", (8, 8, 1))
    with pytest.raises(ValueError, match="no stack of linear maps"):
        load_original(glow_state(), "RealNVPTabular", (64,))
    with pytest.raises(ValueError, match="none of highway, glow_convnet"):
        load_original(glow_state(), "Glow", (8, 8, 1))


def test_a_tabular_flow_takes_vectors():
    with pytest.raises(ValueError, match=r"needs event_shape \(D,\), got \(2, 2, 1\)"):
        load_original(tabular_state(couplings=2), "RealNVPTabular", (2, 2, 1))
    with pytest.raises(ValueError, match=r"does not fit the flow on \(5,\)"):
        load_original(tabular_state(couplings=2), "RealNVPTabular", (5,))


def test_the_flow_is_built_as_the_checkpoint_was():
    flow, _ = load("realnvp_gray")
    couplings = [b for _, b in walk(flow.bijector) if isinstance(b, AffineCoupling)]
    widths = [b.st_net.keywords["width"] for b in couplings]
    assert widths == [6] * 3 + [12] * 7
    gains = [b.st_net.keywords["input_gain"] for b in couplings]
    assert gains == [2.0] * 3 + [1.0] * 3 + [2.0] * 4
    assert {b.st_net.keywords["blocks"] for b in couplings} == {2}
