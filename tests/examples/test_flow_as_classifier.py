"""The example of a conditional flow: Bayes' rule, its confidence, and the mixture."""

import jax
import numpy as np
import pytest

from flowjax_ood.distributions import class_log_posterior, class_log_prob
from tests.examples.running import run_example

pytest.importorskip("sklearn")


@pytest.mark.thorough
def test_a_flow_classifies_and_knows_outliers(tmp_path, monkeypatch, capsys):
    arguments = ("--steps=300", "--draws=1")
    ran = run_example("flow_as_classifier", tmp_path, monkeypatch, capsys, *arguments)
    names, couplings = ran.names, ran.names["COUPLINGS"]
    flow, variables = names["flows"][couplings], names["variables"][couplings]
    x = names["noisy"](names["test"][:20], jax.random.key(9))
    # Bayes' rule by hand, and the density without labels
    by_class = class_log_prob(flow, variables, x, 10)
    joint = flow.apply(variables, x, method="class_log_joint")
    posterior = jax.nn.log_softmax(joint)
    assert np.allclose(class_log_posterior(by_class), posterior, atol=1e-3)
    mixture = flow.apply(variables, x)
    assert np.allclose(jax.nn.logsumexp(joint, 1), mixture, atol=1e-3)

    right, losses = names["right"], names["losses"]
    assert right[couplings].mean() > 0.85
    # a temperature changes how sure it is, not which class it takes
    (cooled,) = [name for name in losses if name.startswith(f"{couplings}, T = ")]
    assert names["temperature"][couplings] > 1
    assert losses[cooled] < losses[couplings]
    aurocs = names["aurocs"]
    for kind, of in aurocs[f"log p(x): {couplings}"].items():
        assert of.low > 0.6, kind
    # mixtures of digits are what a flow sees and Gaussians do not
    gaussians = aurocs["log p(x): ten Gaussians"]["two mixed"]
    assert aurocs[f"log p(x): {couplings}"]["two mixed"].low > gaussians.high
    assert names["drawn"].shape == (30, 8, 8, 1)
