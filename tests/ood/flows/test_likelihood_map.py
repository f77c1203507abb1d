"""Scores of likelihood maps: closed forms of flows that leave pixels as they are."""

import jax
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.analysis.likelihood_map import likelihood_map
from flowjax_ood.bijectors import Haar
from flowjax_ood.distributions import Flow
from tests.helpers.scored_flows import identity_flow, image_flow, images, vector_flow


def squares(flow, x, patch):
    points = flow.points(flow.inputs(x))
    maps = likelihood_map(flow.flow, flow.variables, points)
    parts = [
        maps[:, i : i + patch, j : j + patch].sum((1, 2, 3))
        for i in range(0, 8, patch)
        for j in range(0, 8, patch)
    ]
    return np.stack(parts, 1)


@pytest.mark.parametrize("flow", [identity_flow(), image_flow()], ids=["normal", "nvp"])
def test_t2_and_q_are_distances_of_the_sums_over_squares(flow):
    known, x = images(60), images(9, seed=1)
    given = ood.Given(train=flow.collect(known))
    a, b = squares(flow, known, 2), squares(flow, x, 2)
    values, directions = np.linalg.eigh(np.cov(a, rowvar=False, bias=True))
    at = (b - a.mean(0)) @ directions
    t2 = ood.LikelihoodMap("T2", patch=2, rank=3).fit(flow, given).score(x)
    np.testing.assert_allclose(t2, -(at**2 / values)[:, -3:].sum(1), rtol=1e-3)
    q = ood.LikelihoodMap("Q", patch=2, rank=3).fit(flow, given).score(x)
    np.testing.assert_allclose(q, -(at**2)[:, :-3].sum(1), rtol=1e-3)


def test_the_control_is_of_levels_and_asks_no_flow(monkeypatch):
    flow, known, x = image_flow(), images(60), images(9, seed=1)
    given, new = ood.Given(train=flow.collect(known)), flow.collect(x)
    monkeypatch.setattr(
        "flowjax_ood.ood.flows.likelihood_map.event_maps", lambda *_: None
    )
    score = ood.LikelihoodMap("Q", patch=2, rank=3, of="levels")
    assert (score.passes, score.name) == (0.0, "Q 3 of levels of squares")
    assert ood.LikelihoodMap().passes == 2.0
    a, b = (
        i.astype(float).reshape(-1, 4, 2, 4, 2).sum((2, 4)).reshape(-1, 16)
        for i in (known, x)
    )
    _, directions = np.linalg.eigh(np.cov(a, rowvar=False, bias=True))
    at = (b - a.mean(0)) @ directions
    found = score.fit(flow, given).score_outputs(new)
    np.testing.assert_allclose(found, -(at**2)[:, :-3].sum(1), rtol=1e-6)


def test_reference_images_that_explode_are_left_out_of_the_fit():
    from flowjax_ood.ood.flows import likelihood_map as scores

    rows = np.random.default_rng(0).normal(size=(50, 16)) * np.linspace(0.1, 3, 16)
    far = np.concatenate([rows, np.full((1, 16), -1e5), np.full((1, 16), -80.0)])
    kept = scores._without_exploded(far)
    np.testing.assert_array_equal(kept, np.concatenate([rows, far[-1:]]))
    same = np.zeros((4, 16))
    np.testing.assert_array_equal(scores._without_exploded(same), same)


def test_the_sum_of_all_squares_is_the_log_likelihood():
    flow, x = image_flow(), images(5)
    outputs = flow.collect(x)
    np.testing.assert_allclose(squares(flow, x, 4).sum(1), outputs.log_prob, rtol=1e-4)


def test_both_measures_share_one_pass(monkeypatch):
    from flowjax_ood.ood.flows import likelihood_map as scores

    flow, counted = image_flow(), []
    maps = scores.event_maps

    def counting(network, events):
        counted.append(len(events))
        return maps(network, events)

    monkeypatch.setattr(scores, "event_maps", counting)
    given, new = ood.Given(train=flow.collect(images(60))), flow.collect(images(9))
    for measure in ("T2", "Q"):
        score = ood.LikelihoodMap(measure, patch=2, rank=3)
        score.fit(flow, given).score_outputs(new)
    assert counted == [60, 9]


def test_a_score_is_of_the_image_alone():
    flow, x = image_flow(), images(9, seed=1)
    given = ood.Given(train=flow.collect(images(60)))
    fitted = ood.LikelihoodMap(patch=2, rank=3).fit(flow, given)
    np.testing.assert_allclose(fitted.score(x[::-1])[::-1], fitted.score(x), rtol=1e-4)
    np.testing.assert_allclose(fitted.score(x[3:4]), fitted.score(x)[3:4], rtol=1e-4)


def test_an_unusual_place_is_found_at_the_same_likelihood():
    """Where squares differ in their spread, the sum hides what T2 sees."""
    rng = np.random.default_rng(0)
    levels = rng.integers(100, 156, (300, 8, 8, 1), np.uint8)
    levels[:, :4] = 128
    flow = identity_flow()
    other = levels[:100, ::-1].copy()
    given = ood.Given(train=flow.collect(levels[100:]))
    score = ood.LikelihoodMap("T2", patch=4, rank=4).fit(flow, given)
    own = score.score(levels[100:200])
    assert ood.auroc(own, score.score(other)).value > 0.95
    likelihood = ood.LogLikelihood().fit(flow)
    area = ood.auroc(likelihood.score(levels[100:200]), likelihood.score(other))
    assert 0.4 < area.value < 0.6


def test_a_map_that_is_not_finite_is_as_far_as_can_be(monkeypatch):
    from flowjax_ood.ood.flows import likelihood_map as scores

    flow = identity_flow()
    given = ood.Given(train=flow.collect(images(60)))
    fitted = ood.LikelihoodMap("Q", patch=2, rank=3).fit(flow, given)
    rows = np.ones((2, 16))
    rows[0, 3] = np.nan
    monkeypatch.setattr(scores._Squares, "__call__", lambda *_: rows)
    found = fitted.score(images(2))
    assert found[0] == -np.inf
    assert np.isfinite(found[1])


@pytest.mark.parametrize(
    ("flow", "options", "said"),
    [
        (
            identity_flow(),
            {"patch": 3},
            "squares of 3 pixels do not fill",
        ),
        (identity_flow(), {"patch": 4, "rank": 5}, "needs 5 components"),
        (identity_flow(), {"measure": "Q", "rank": 4}, "needs 5 components"),
        (vector_flow(), {}, "is a score of images"),
        (
            ood.ScoredFlow(Flow(Haar("space"), (8, 8, 1)), {}),
            {"patch": 2, "rank": 3},
            "no position|no sum over values",
        ),
    ],
)
def test_what_does_not_fit_is_refused(flow, options, said):
    events = (
        images(20) if flow.of_images else jax.random.normal(jax.random.key(0), (20, 5))
    )
    given = ood.Given(train=flow.collect(np.asarray(events)))
    with pytest.raises(ValueError, match=said):
        ood.LikelihoodMap(**options).fit(flow, given)
