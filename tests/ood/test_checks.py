"""What detectors are fitted to: each wrong thing has one error that says the remedy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood import FlowOutputs, Given, Network, Outputs
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, blobs.given()
Y = blobs.LABELS
W, B = (np.asarray(a) for a in NET.head)
LABELLED = [ood.SHE(), ood.MahalanobisFeatures(), ood.MahalanobisLayers("uniform")]
WITH_HEAD = [ood.ViM(), ood.ReAct(), ood.ASH(), ood.SCALE(), ood.DICE(), ood.FDBD()]
BY_NAME = {"ids": lambda d: getattr(d, "name", None)}


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (np.array([f"class{y}" for y in Y]), TypeError, "integers, got dtype <U6"),
        (Y > 1, TypeError, "integers, got dtype bool"),
        (Y / 2, TypeError, "integers, got dtype float64"),
        (3, ValueError, r"labels of shape \(\) do not go with 300 rows"),
        (Y[:1], ValueError, r"labels of shape \(1,\) do not go with 300 rows"),
        (np.eye(3, dtype=int)[Y], ValueError, r"labels.argmax\(1\)"),
        (Y[:, None], ValueError, r"pass labels\[:, 0\]"),
    ],
)
@pytest.mark.parametrize("detector", LABELLED, **BY_NAME)
def test_labels(detector, labels, error, match):
    with pytest.raises(error, match=match):
        detector.fit(NET, replace(GIVEN, labels=labels))


@pytest.mark.parametrize("labels", [Y + 1, Y - 1, Y * 29])
def test_labels_that_number_classes_are_of_the_logits(labels):
    least, most = labels.min(), labels.max()
    with pytest.raises(ValueError, match=rf"0 \.\.\. 2; got {least} \.\.\. {most}"):
        ood.SHE().fit(NET, replace(GIVEN, labels=labels))
    # where classes are only told apart, any integers will do
    fitted = ood.MahalanobisFeatures().fit(NET, replace(GIVEN, labels=labels))
    expected = ood.MahalanobisFeatures().fit(NET, GIVEN).score_outputs(GIVEN.train)
    np.testing.assert_array_equal(fitted.score_outputs(GIVEN.train), expected)


@pytest.mark.parametrize(
    ("head", "match"),
    [
        ((W.T, B), r"\[D, C\] = \[24, 3\], got \[3, 24\]: .* pass W\.T"),
        ((W[:5], B), r"got \[5, 3\]: network\.penultimate"),
        ((W, B[:1]), r"b of shape \[C\] = \[3\], got \[1\]; None"),
        ((W, B[:, None]), r"got \[3, 1\]"),
        ((W[::-1], B), r"logits must be features @ W \+ b, they differ by up to \d"),
        ((W, None), r"differ by up to"),  # this layer has a bias
    ],
)
@pytest.mark.parametrize("detector", WITH_HEAD, **BY_NAME)
def test_the_head_gives_the_logits(detector, head, match):
    with pytest.raises(ValueError, match=match) as error:
        detector.fit(replace(NET, head=head), GIVEN)
    assert str(error.value).startswith(f"{detector.name} needs")


def test_a_square_head_of_torch_is_told():
    w = np.random.RandomState(0).randn(6, 6).astype(np.float32)
    f = np.abs(np.random.RandomState(1).randn(50, 6)).astype(np.float32)
    given = Given(train=Outputs.of(f @ w, f))
    with pytest.raises(ValueError, match=r"pass W\.T"):
        ood.ViM().fit(Network(head=(w.T, None)), given)
    assert ood.ViM().fit(Network(head=(w, None)), given)


@pytest.mark.parametrize("detector", WITH_HEAD, **BY_NAME)
def test_no_bias_is_a_bias_of_zeros(detector):
    f = GIVEN.train.features
    given = Given(train=Outputs.of(f @ W, f))
    zeros, none = (
        detector.fit(Network(head=(W, b)), given).score_outputs(given.train)
        for b in (np.zeros(3, np.float32), None)
    )
    np.testing.assert_array_equal(none, zeros)


def test_logits_of_low_precision_are_those_of_the_head():
    low = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), GIVEN.train)
    assert ood.ViM().fit(NET, replace(GIVEN, train=low))


@pytest.mark.parametrize(
    ("head", "match"),
    [(W, r"pair \(W \[D, C\].* got ndarray"), ({"W": W}, "got dict"), ((W,), "tuple")],
)
def test_a_head_is_a_pair(head, match):
    with pytest.raises(TypeError, match=match):
        Network(head=head)


def test_wrong_arguments_say_what_to_pass():
    with pytest.raises(TypeError, match=r"ndarray: of images, network\.collect"):
        Given(train=blobs.TRAIN)
    x = np.zeros((300, 4), np.float32)
    of_a_flow = FlowOutputs(x, x[:, :1], x[:, :1], (x,))
    with pytest.raises(TypeError, match="got FlowOutputs, which scores of a flow"):
        ood.KNN().fit(NET, Given(train=of_a_flow))
    ood.MSP().fit(NET, Given(train=of_a_flow))
    for wrong in ((GIVEN, NET), (lambda x: x, None), (None, GIVEN)):
        with pytest.raises(TypeError, match=r"fit\(network, given\) takes a Network"):
            ood.MSP().fit(*wrong)
    with pytest.raises(TypeError, match="takes Outputs, got ndarray: of inputs"):
        ood.MSP().fit(NET).score_outputs(blobs.TEST)
    with pytest.raises(TypeError, match=r"must be a function.*Network\.of\(module"):
        Network("LeNet")


def test_saved_outputs_need_no_function_and_take_no_inputs():
    saved = Network(head=(W, B))
    given = Given(train=GIVEN.train, labels=Y)
    found = ood.ViM().fit(saved, given)
    expected = ood.ViM().fit(NET, given)
    outputs = NET.collect(blobs.TEST)
    np.testing.assert_array_equal(
        found.score_outputs(outputs), expected.score_outputs(outputs)
    )
    with pytest.raises(TypeError, match=r"can score saved outputs \(score_outputs\)"):
        found.score(blobs.TEST)
    with pytest.raises(ValueError, match=r"ODIN needs network\.apply"):
        ood.ODIN((0.1,), (1.0,)).fit(saved)


def test_weights_of_layers_need_validation_inputs():
    few = replace(GIVEN, id_validation=blobs.VALIDATION[:1])
    with pytest.raises(ValueError, match=r"needs 4 or more of id_validation.* got 1"):
        ood.MahalanobisLayers().fit(NET, few)


# --- numbers of few bits --------------------------------------------------------------

RNG = np.random.default_rng(0)
F = jnp.asarray(np.abs(RNG.normal(size=(4000, 16))), jnp.bfloat16)
LOW_W = RNG.normal(size=(16, 4)).astype(np.float32)
Z = jnp.asarray(np.asarray(F, np.float32) @ LOW_W, jnp.bfloat16)
WIDE = Outputs(np.asarray(Z, np.float32), np.asarray(F, np.float32), {})


@pytest.mark.parametrize(
    "detector",
    [
        *(ood.ViM(), ood.DICE(0.5), ood.SHE(), ood.FDBD(), ood.KNN(), ood.ReAct()),
        *(ood.KLMatching(), ood.NNGuide(), ood.MahalanobisFeatures(), ood.GradNorm()),
    ],
    **BY_NAME,
)
def test_outputs_of_bfloat16_are_averaged_in_float32(detector):
    network = Network(head=(LOW_W, None))
    low = Outputs(np.asarray(Z), np.asarray(F), {})
    labels = WIDE.logits.argmax(1)
    found, expected = (
        detector.fit(network, Given(train, labels)).score_outputs(queries)
        for train, queries in ((low, low), (WIDE, WIDE))
    )
    np.testing.assert_array_equal(found, expected)


def test_a_network_of_bfloat16_gives_float32():
    def apply(_, x):
        taps, logits = NET.apply(NET.variables, x)
        return jax.tree.map(lambda a: a.astype(jnp.bfloat16), (taps, logits))

    low = replace(NET, apply=apply)
    outputs = low.collect(blobs.TEST)
    assert {a.dtype for a in jax.tree.leaves(outputs)} == {np.dtype(np.float32)}
    conv = np.asarray(apply((), blobs.TEST)[0]["conv"], np.float32)
    np.testing.assert_allclose(outputs.pooled["conv"], conv.mean((1, 2)), rtol=1e-5)


class LikeTorch:
    """A tensor that requires gradients, on another device, as torch has it."""

    def __init__(self, values, dtype="torch.float32", steps=("detach", "cpu")):
        self.values, self.dtype, self.steps = values, dtype, steps

    def _after(self, step):
        assert self.steps[:1] == (step,)
        return LikeTorch(self.values, self.dtype, self.steps[1:])

    def detach(self):
        return self._after("detach")

    def cpu(self):
        return self._after("cpu")

    def float(self):
        return LikeTorch(self.values, "torch.float32", self.steps)

    def __array__(self, dtype=None, copy=None):
        if self.steps or self.dtype == "torch.bfloat16":
            raise RuntimeError("call .detach().cpu().float() first")
        return np.asarray(self.values, np.float32)


@pytest.mark.parametrize(
    "array",
    [
        WIDE.logits.tolist(),
        jnp.asarray(WIDE.logits),
        WIDE.logits.astype(np.float64),
        LikeTorch(WIDE.logits),
        LikeTorch(WIDE.logits, "torch.bfloat16"),
    ],
    ids=["list", "jax", "float64", "torch", "torch bfloat16"],
)
def test_outputs_of_arrays_of_any_framework(array):
    outputs = Outputs.of(array)
    assert outputs.features is outputs.logits
    wide = isinstance(array, list) or array.dtype == np.float64
    assert outputs.logits.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_array_equal(outputs.logits, WIDE.logits)


def test_outputs_are_numbers_of_as_many_rows():
    with pytest.raises(TypeError, match="logits must be real numbers, got dtype <U1"):
        Outputs.of([["a", "b"]])
    with pytest.raises(ValueError, match=r"3 rows of logits, features .* \(4, 2\)"):
        Outputs.of(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"logits, conv has shape \(3,\)"):
        Outputs.of(np.ones((3, 2)), pooled={"conv": np.ones(3)})
    with pytest.raises(ValueError, match=r"logits has shape \(3,\)"):
        Outputs.of(np.ones(3))


def test_outputs_of_torch():
    torch = pytest.importorskip("torch")
    z = torch.tensor(WIDE.logits, requires_grad=True)
    for array in (z, z.bfloat16()):
        np.testing.assert_array_equal(Outputs.of(array).logits, WIDE.logits)


# --- inputs ---------------------------------------------------------------------------

STORED = np.random.RandomState(0).randint(0, 256, (5, *blobs.SHAPE), np.uint8)
STORED[0, 0, 0] = 255
FINE = STORED.astype(np.float32) / 255
WIDE_NET = replace(NET, mean=(0.5,) * 3, std=(0.4,) * 3)
INPUTS = [
    (NET, STORED[0], ValueError, r"\(4, 4, 1\): of one image, x\[None\]"),
    (NET, STORED.transpose(0, 3, 1, 2), ValueError, r"x\.transpose\(0, 2, 3, 1\)"),
    (WIDE_NET, np.ones((2, 3, 4, 4)), ValueError, "of 3 channels.* channels first"),
    (NET, STORED.astype(np.float32), ValueError, "floats up to 255: divide by 255"),
    (NET, STORED.astype(int), TypeError, r"got int64, .* x\.astype\(np\.uint8\)"),
    (replace(NET, mean=None), STORED > 9, TypeError, "uint8 or floats, got bool"),
    (NET, list(FINE), TypeError, r"np\.stack\(images\)"),
]


@pytest.mark.parametrize(("network", "x", "error", "match"), INPUTS)
@pytest.mark.parametrize("detector", [ood.MSP(), ood.ODIN((0.1,), (1.0,))], **BY_NAME)
def test_inputs_that_would_be_misread(network, x, error, match, detector):
    with pytest.raises(error, match=match):
        detector.fit(network).score(x)
    with pytest.raises(error, match=match.replace("inputs", "id_validation")):
        ood.FSSD().fit(network, Given(id_validation=x))


def test_collect_says_what_it_takes():
    for x, error, match in (
        (
            [(FINE, 0)],
            TypeError,
            r"number 0 is a tuple: \(x for x, labels",
        ),
        (GIVEN.train, TypeError, "batches of them, got Outputs"),
        (7, TypeError, "got int"),
        ([], ValueError, "no batches"),
        ([STORED[0]], ValueError, r"x\[None\]"),
    ):
        with pytest.raises(error, match=match):
            NET.collect(x)
