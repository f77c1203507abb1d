"""Combinations: valid p-values, of ranks alone; what they leave out and refuse."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from tests.helpers.scored_flows import (
    gaussian_flow,
    identity_flow,
    image_flow,
    images,
    normal_outputs,
    two_scales,
    vector_flow,
)

# of few calibration images, a tie is enough
pytestmark = pytest.mark.filterwarnings("ignore:.* tie at the lowest score")
METHODS = ("rank_gauss", "bonferroni", "fisher", "cauchy", "harmonic", "max_quantile")
RNG = np.random.default_rng
FLOW = gaussian_flow(6)


@dataclass(frozen=True)
class Mapped(ood.FlowScore):
    """An increasing map of another score."""

    of: ood.FlowScore
    map: object
    label: str = "mapped"

    def prepared(self, network, given):
        fitted = self.of.fit(network, given)
        return lambda outputs: self.map(fitted.score_outputs(outputs))

    @property
    def low_share(self):
        return self.of.low_share


SCORES = (ood.LogLikelihood(), ood.AndersonDarling(), ood.LatentSpread())


def noise(count, rng):
    return normal_outputs(rng.normal(size=(count, 6)))


def given(count=400, seed=0, **others):
    return ood.Given(id_validation=noise(count, RNG(seed)), seed=seed, **others)


@pytest.mark.parametrize("method", METHODS)
def test_final_p_values_are_uniform_in_distribution(method):
    """Of new calibration images each time, so that the p-values are independent."""
    rng, p = RNG(1), []
    for seed in range(250):
        held_out = noise(200, rng)
        data = ood.Given(id_validation=held_out, seed=seed)
        fitted = ood.Combined(SCORES, method).fit(FLOW, data)
        p.append(fitted.p_values(noise(1, rng))[0])
    # in 1/101 ... 1, and larger than uniform where a statistic has ties
    p = np.array(p)
    for level in (0.05, 0.1, 0.2, 0.5, 0.8):
        allowed = 4 * np.sqrt(level * (1 - level) / len(p))
        assert np.mean(p <= level) <= level + allowed
    if method in ("rank_gauss", "fisher"):
        spread = p - RNG(2).uniform(size=len(p)) / 101
        assert stats.kstest(spread, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_increasing_maps_change_nothing(method):
    maps = (lambda s: np.arctan(s / 50), lambda s: s**3, lambda s: 7 + 2 * s)
    mapped = tuple(Mapped(s, m, s.name) for s, m in zip(SCORES, maps, strict=True))
    x = noise(50, RNG(5))
    p = [
        ood.Combined(s, method).fit(FLOW, given()).p_values(x) for s in (SCORES, mapped)
    ]
    np.testing.assert_allclose(*p, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_far_inputs_have_the_least_p_value(method):
    far = normal_outputs(50 * RNG(6).normal(size=(20, 6)))
    scores = (ood.LogLikelihood(), ood.LatentSpread(), ood.LatentLikelihood())
    fitted = ood.Combined(scores, method).fit(FLOW, given())
    # images that the first half has none like tie with a few of the second
    assert fitted.p_values(far).max() <= 0.04
    said = fitted.explain(far)
    assert list(said) == [s.name for s in scores]
    np.testing.assert_allclose(said["log p(x)"], 2 / 201)
    assert said["spread of latents of scale 0"].shape == (20,)


def test_rank_gauss_is_the_published_formula():
    data, x = given(), noise(30, RNG(7))
    fitted = ood.Combined(SCORES).fit(FLOW, data)
    order = RNG(0).permutation(400)[:200]
    first = data.id_validation.rows(order)

    def ranked(score, outputs):
        fit = score.fit(FLOW, data)
        own, new = fit.score_outputs(first), fit.score_outputs(outputs)
        below = (own[None] < new[:, None]).sum(1)
        up_to = (own[None] <= new[:, None]).sum(1)
        return stats.norm.ppf(np.clip((below + up_to + 1) / 402, 1 / 201, 200 / 201))

    y, new = (np.stack([ranked(s, o) for s in SCORES], 1) for o in (first, x))
    covariance = np.cov(y, rowvar=False, bias=True) + 1e-3 * np.eye(3)
    away = new - y.mean(0)
    expected = -np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    np.testing.assert_allclose(fitted.score_outputs(x), expected, rtol=1e-8)


@pytest.mark.parametrize("method", ["bonferroni", "fisher", "cauchy", "harmonic"])
def test_combined_p_values_are_ordered_as_those_of_combine_p(method):
    """Where nothing is cut."""
    fitted, x = ood.Combined(SCORES, method).fit(FLOW, given()), noise(200, RNG(7))
    p = np.stack([*fitted.explain(x).values()], 1)
    plain, kept = ood.combine_p(p, method), p.max(1) < 0.9
    kept &= plain < 1
    assert kept.sum() > 40
    ours = stats.rankdata(np.round(fitted.score_outputs(x)[kept], 9))
    np.testing.assert_array_equal(ours, stats.rankdata(np.round(plain[kept], 9)))


def test_one_typical_score_does_not_hide_the_others():
    """A p-value of 1 alone would make Cauchy's 1, whatever the others are."""
    fitted = ood.Combined(SCORES, "cauchy").fit(FLOW, given())
    found = fitted.combination
    middle, *others = (part.ranked for part in found.parts)
    values = [np.sort(middle)[99:101], *(np.full(2, r.min() - 1) for r in others)]
    assert found.parts[0].p_values(values[0]).max() == 1
    score = found.combine(found.parts, values)
    assert (ood.low_p(score, found.calibrated) < 0.03).all()


def test_the_largest_quantile_of_two_is_sitn():
    flow, rng = identity_flow(), RNG(8)
    held_out = normal_outputs(rng.normal(size=(200, 8, 8, 1)))
    x = normal_outputs(rng.normal(size=(40, 8, 8, 1)))
    pair = (ood.AndersonDarling(), ood.SpectrumVariation())
    both = ood.Combined(pair, "max_quantile").fit(
        flow, ood.Given(id_validation=held_out)
    )
    first = held_out.rows(RNG(0).permutation(200)[:100])
    sitn = ood.SITN().fit(flow, ood.Given(id_validation=first))
    np.testing.assert_allclose(both.score_outputs(x), sitn.score_outputs(x), atol=1e-12)


@pytest.mark.parametrize("method", ["bonferroni", "max_quantile"])
def test_the_least_p_value_is_known_and_a_large_one_is_said(method):
    """By many scores, more images are at the floor, and none can be found at 0.01."""
    data = given(220)
    far = normal_outputs(50 * RNG(6).normal(size=(9, 6)))
    many = tuple(
        Mapped(score, lambda s, k=k: np.sin(k * s), f"{score.name} {k}")
        for score in SCORES[::2]
        for k in (1, 3, 7)
    )
    with pytest.warns(UserWarning, match=r"of 110 .* tie .* no p-value is below 0\.\d"):
        fitted = ood.Combined((*SCORES[::2], *many), method).fit(FLOW, data)
    assert 0.01 < fitted.least_p < 0.5
    p = fitted.p_values(far)
    assert p.min() == pytest.approx(fitted.least_p)
    rank = ood.Combined(SCORES).fit(FLOW, data)
    assert rank.least_p == pytest.approx(1 / 111)
    assert rank.p_values(far).min() >= rank.least_p


def test_a_constant_score_is_left_out_with_a_warning():
    scores = (*SCORES, ood.LogDeterminant())
    with pytest.warns(UserWarning, match="log-determinant is 0 for all"):
        fitted = ood.Combined(scores).fit(FLOW, given())
    assert fitted.chosen["scores"] == tuple(s.name for s in SCORES)
    alone = ood.Combined(SCORES).fit(FLOW, given())
    x = noise(9, RNG(3))
    np.testing.assert_array_equal(fitted.p_values(x), alone.p_values(x))
    only = ood.Combined((ood.LogDeterminant(),))
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(ValueError, match="every score is constant"),
    ):
        only.fit(FLOW, given())


def test_bad_calibration_is_refused():
    with pytest.raises(ValueError, match="needs 200 calibration images"):
        ood.Combined(SCORES).fit(FLOW, given(199))
    data = given()
    train = noise(50, RNG(9))
    events = data.id_validation.events[[7, 3, *[0] * 48]]
    same = replace(train, events=events)
    shared = ood.Given(train=same, id_validation=data.id_validation)
    with pytest.raises(ValueError, match=r"3 of 400 .* the first is number 0"):
        ood.Combined(SCORES).fit(FLOW, shared)
    with pytest.raises(ValueError, match="calibration images"):
        ood.Combined(SCORES).fit(FLOW)
    with pytest.raises(ValueError, match="reference images"):
        ood.Combined((ood.SubspaceDistance(),)).fit(FLOW, data)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="method must be one of rank_gauss"):
        ood.Combined(SCORES, "stouffer")
    with pytest.raises(TypeError, match="a tuple of one or more"):
        ood.Combined(ood.LogLikelihood())
    with pytest.raises(TypeError, match="a tuple of one or more"):
        ood.Combined(())
    with pytest.raises(ValueError, match=r"called log p\(x\); give one a label"):
        ood.Combined((ood.LogLikelihood(), ood.LogLikelihood()))
    with pytest.raises(TypeError, match="takes a score of a flow"):
        ood.TwoSided("log p(x)")


def test_two_sided_is_the_p_value_of_the_score():
    data, x = given(), noise(30, RNG(4))
    for score in SCORES:
        fitted = ood.TwoSided(score).fit(FLOW, data)
        plain = score.fit(FLOW, data)
        own, held_out = map(plain.score_outputs, (x, data.id_validation))
        expected = ood.two_sided_p(own, held_out, score.low_share)
        np.testing.assert_array_equal(fitted.score_outputs(x), expected)
    with pytest.raises(ValueError, match="calibration images"):
        ood.TwoSided(ood.LogLikelihood()).fit(FLOW)
    with pytest.raises(ValueError, match="needs 20 calibration images"):
        ood.TwoSided(ood.LogLikelihood()).fit(FLOW, given(19))
    with pytest.raises(ValueError, match="log-determinant is 0 for all 400"):
        ood.TwoSided(ood.LogDeterminant()).fit(FLOW, data)


def test_needs_and_costs_are_those_of_the_scores():
    both = ood.Combined((ood.LogLikelihood(), ood.SubspaceDistance("pixels")))
    assert both.requires == ood.Requires(train_data=True, id_validation=True)
    assert both.passes == 1
    assert not both.of_images
    assert ood.Combined((ood.PPCA(),)).passes == 0
    assert ood.TwoSided(ood.KLODS()).of_images


@pytest.fixture(scope="module")
def fitted():
    """The whole list, fitted to a flow of images."""
    flow = image_flow(scales=2)
    train, held_out = flow.collect(images(192)), flow.collect(images(224, seed=1))
    data = ood.Given(train=train, id_validation=held_out)
    # PNG codes no image of 8 x 8 in less than any other
    scores = tuple(s for s in ood.v1(flow) if not isinstance(s, ood.CodeLength))
    return ood.Combined(scores).fit(flow, data)


def test_the_lists_name_every_score_once_and_what_it_costs():
    flow = two_scales()
    scores = ood.v1(flow)
    assert len({s.name for s in scores}) == len(scores)
    both = (ood.InputComplexity(),)
    assert scores == ood.flow_only(flow) + both + ood.no_flow(flow)
    assert all(s.passes == 0 for s in ood.no_flow(flow))
    assert all(s.passes == 1 for s in ood.flow_only(flow))
    bands = [s.band for s in ood.no_flow(flow) if isinstance(s, ood.SubspaceDistance)]
    assert bands == [(0, 4), (4, 16), (16, 64)]
    assert ood.CodeLength() in ood.no_flow(flow)
    contrasts = ood.poses(flow)
    assert len({s.name for s in contrasts}) == 3
    assert all(s.passes == 0 for s in contrasts)
    assert ood.poses(gaussian_flow()) == ()


@pytest.mark.thorough
def test_all_scores_of_a_list_are_of_one_pass(fitted, monkeypatch):
    passes, collect = [], ood.ScoredFlow.collect
    monkeypatch.setattr(
        ood.ScoredFlow, "collect", lambda *a: passes.append(1) or collect(*a)
    )
    x = images(32, seed=2)
    p = fitted.p_values(x)
    assert passes == [1]
    np.testing.assert_array_equal(fitted.p_values(collect(fitted.network, x)), p)
    said = fitted.explain(x)
    assert list(said) == list(fitted.chosen["scores"])
    assert len(said) == len(ood.v1(fitted.network)) - 1
    assert np.median(p) > 0.1
    assert np.median(fitted.p_values(255 - x)) < 0.05


def test_scores_are_of_the_image_whatever_the_others(fitted):
    x = images(32, seed=3)
    once = fitted.score(x)
    others = fitted.score(np.concatenate([x[20:], images(20, seed=4)]))
    np.testing.assert_allclose(others[:12], once[20:], rtol=1e-3)


def test_the_lists_of_vectors_have_no_scores_of_images():
    flow = vector_flow()
    assert not any(s.of_images for s in ood.v1(flow))
    names = [s.name for s in ood.flow_only(flow)]
    assert "T2 4-5 of latents of scale 0" in names
    assert "spectrum of latents of scale 0" not in names


@pytest.mark.filterwarnings("ignore:.* is left out")
def test_combinations_of_the_same_data_share_fits_and_scores():
    """What two have in common is fitted and scored once, and nothing changes."""
    calls = []

    @dataclass(frozen=True)
    class Counted(ood.FlowScore):
        label: str = "counted"

        def prepared(self, network, given):
            calls.append("fit")

            def score(outputs):
                calls.append(len(outputs))
                return outputs.log_pz[:, 0]

            return score

    flow = gaussian_flow(3)
    rng = np.random.default_rng(0)
    train, held_out, new = (
        normal_outputs(rng.normal(size=(n, 3))) for n in (50, 300, 7)
    )
    given = ood.Given(train=train, id_validation=held_out)
    scores = Counted(), ood.LogDeterminant(), ood.SubspaceDistance(band=(0, 2))
    methods = "rank_gauss", "bonferroni", "fisher"

    together = [ood.Combined(scores, m).fit(flow, given) for m in methods]
    found = [fitted.score_outputs(new) for fitted in together]
    assert calls == ["fit", 150, 150, 7]
    for one, method in zip(found, methods, strict=True):
        # of data and outputs that remember nothing
        alone = ood.Combined(scores, method).fit(flow, replace(given))
        np.testing.assert_array_equal(alone.score_outputs(new.rows(slice(None))), one)
    calls.clear()
    others = new.rows(slice(0, 3))
    fitted = Counted().fit(flow)
    for _ in range(2):
        fitted.score_once(others)
    assert calls == ["fit", 3]
    fitted.score_outputs(others)
    assert calls == ["fit", 3, 3]
    with pytest.raises(ValueError, match="read-only"):
        fitted.score_once(others)[0] = 0
    # what is gone is forgotten
    del others
    assert not fitted._known


def test_scores_that_cannot_be_hashed_and_undeclared_needs():
    @dataclass(frozen=True)
    class Weighted(ood.FlowScore):
        weights: np.ndarray
        label: str = "weighted"

        def prepared(self, network, given):
            # it does not say that it needs them, and so sees none
            assert given.id_validation is None
            return lambda outputs: outputs.events @ self.weights

    rng = np.random.default_rng(0)
    given = ood.Given(id_validation=normal_outputs(rng.normal(size=(300, 3))))
    new = normal_outputs(rng.normal(size=(9, 3)))
    scores = Weighted(np.array([1.0, 2.0, 3.0])), ood.LogLikelihood()
    flow = gaussian_flow(3)
    found = ood.Combined(scores).fit(flow, given).score_outputs(new)
    alone = scores[0].fit_once(flow, given).score_outputs(new)
    np.testing.assert_allclose(alone, new.events @ [1, 2, 3])
    assert np.isfinite(found).all()
