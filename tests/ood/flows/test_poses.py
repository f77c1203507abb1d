"""The contrast of poses: opposite in an orbit of two, restated, without the flow."""

import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.bijectors import Chain
from flowjax_ood.distributions import Flow
from flowjax_ood.ood.flows.poses import POSES
from tests.helpers.scored_flows import gaussian_flow, identity_flow, images

FLOW = identity_flow()
T2 = ood.SubspaceDistance("pixels", band=(0, 10))


def slopes(count, seed):
    """Images that are dark above and bright below, with noise."""
    rng = np.random.default_rng(seed)
    level = np.linspace(20, 200, 8)[:, None] * rng.uniform(0.7, 1.1, (count, 1, 1))
    noisy = level + rng.normal(0, 12, (count, 8, 8))
    return noisy.clip(0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def given():
    return ood.Given(train=FLOW.collect(slopes(100, 0)))


def pixels(x):
    nothing = np.zeros((len(x), 0))
    return ood.FlowOutputs(x, nothing, nothing, ())


@pytest.mark.parametrize("of", [T2, ood.NeighbourDistance("pixels")])
def test_scores_of_an_orbit_of_two_are_opposite_numbers(given, of):
    x = slopes(9, 1)
    fitted = ood.PoseContrast(of, "half_turn").fit(FLOW, given)
    upright = fitted.score_outputs(pixels(x))
    turned = fitted.score_outputs(pixels(x[:, ::-1, ::-1]))
    np.testing.assert_allclose(turned, -upright, rtol=1e-6)
    assert (upright > 0.1).all()
    assert (upright <= 1).all()


def test_images_that_a_pose_leaves_as_they_are_have_score_zero(given):
    half = slopes(6, 2)[:, :4]
    x = np.concatenate([half, half[:, ::-1, ::-1]], 1)
    fitted = ood.PoseContrast(T2, "half_turn").fit(FLOW, given)
    np.testing.assert_allclose(fitted.score_outputs(pixels(x)), 0, atol=1e-12)


def test_it_is_the_formula_over_six_poses(given):
    """Transposed, flipped up to down, both: no mirror image, no identity."""
    x = slopes(7, 3)
    across = x.transpose(0, 2, 1, 3)
    poses = [
        across[:, ::-1],
        x[:, ::-1, ::-1],
        across[:, :, ::-1],
        across,
        x[:, ::-1],
        across[:, ::-1, ::-1],
    ]
    inner = T2.fit(FLOW, given)
    own = -inner.score_outputs(pixels(x))
    least = -np.max([inner.score_outputs(pixels(pose)) for pose in poses], axis=0)
    found = ood.PoseContrast(T2).fit(FLOW, given).score_outputs(pixels(x))
    np.testing.assert_allclose(found, -(own - least) / (own + least), rtol=1e-9)
    turned = [turn(x) for turn in POSES["dihedral_no_mirror"]]
    assert {a.tobytes() for a in turned} == {a.tobytes() for a in poses}
    rotated = {turn(x).tobytes() for turn in POSES["rotations"]}
    assert rotated == {a.tobytes() for a in poses[:3]}


def test_the_flow_runs_on_turned_images_only_for_scores_that_look_at_it(
    given, monkeypatch
):
    x, run = slopes(5, 4), []
    outputs, collect = FLOW.collect(x), ood.ScoredFlow.collect
    monkeypatch.setattr(
        ood.ScoredFlow, "collect", lambda *args: run.append(1) or collect(*args)
    )
    fitted = ood.PoseContrast(T2).fit(FLOW, given)
    fitted.score_outputs(outputs)
    assert not run
    of = ood.SubspaceDistance("latents", band=(0, 10))
    found = ood.PoseContrast(of, "rotations").fit(FLOW, given).score_outputs(outputs)
    assert len(run) == 3
    # latents of the identity are the pixels and noise below a level
    of_pixels = ood.PoseContrast(T2, "rotations").fit(FLOW, given)
    np.testing.assert_allclose(found, of_pixels.score_outputs(outputs), atol=0.05)


def test_costs_and_needs_are_those_of_the_distance():
    score = ood.PoseContrast(ood.NeighbourDistance(), "rotations")
    assert score.passes == 4
    assert ood.PoseContrast().passes == 0
    assert ood.PoseContrast().requires == ood.Requires(train_data=True)
    assert ood.PoseContrast().name == "pose contrast of 5-NN of pixels"
    with pytest.raises(ValueError, match="reference images"):
        score.fit(FLOW)


def test_equal_distances_of_zero_are_no_contrast(given):
    flat = np.full((2, 8, 8, 1), 9, np.uint8)
    reference = ood.Given(train=pixels(np.concatenate([flat, slopes(5, 5)])))
    of = ood.NeighbourDistance("pixels", k=1, components=None)
    fitted = ood.PoseContrast(of).fit(FLOW, reference)
    assert fitted.score_outputs(pixels(flat)).tolist() == [0, 0]


def test_what_is_no_distance_is_refused(given):
    fitted = ood.PoseContrast(ood.MeanIntensity()).fit(FLOW)
    with pytest.raises(ValueError, match=r"takes a distance.*NeighbourDistance"):
        fitted.score_outputs(pixels(images(3)))
    with pytest.raises(TypeError, match="a score of a flow, got str"):
        ood.PoseContrast("5-NN")
    with pytest.raises(ValueError, match="group must be"):
        ood.PoseContrast(group="translations")


def test_other_shapes_are_refused():
    wide = ood.ScoredFlow(Flow(Chain([]), (8, 4, 1)), {})
    given = ood.Given(train=pixels(images(60)[:, :, :4]))
    with pytest.raises(ValueError, match=r"must be square.*8 x 4"):
        ood.PoseContrast(T2).fit(wide, given)
    with pytest.raises(ValueError, match="a score of images"):
        ood.PoseContrast().fit(gaussian_flow(), given)
