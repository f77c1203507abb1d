"""Rows of `scores`: names, controls, and an encoder where it is installed."""

import dataclasses

import numpy as np
import pytest

from experiments.scores import encoder
from experiments.scores.rows import rows
from flowjax_ood import ood
from flowjax_ood.models import RealNVP
from flowjax_ood.novelty.features import EncoderFeatures


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.* tie at the lowest score")
@pytest.mark.parametrize("passes", [1, 1000])
def test_rows_have_different_names_and_controls_see_no_flow(passes, monkeypatch):
    monkeypatch.setattr("experiments.scores.encoder.has_encoder", lambda: False)
    flow = ood.ScoredFlow(RealNVP((16, 16, 1), scales=2, couplings=1), {})
    listed = rows(flow, passes=passes)
    names = [row.name for row in listed]
    assert len(set(names)) == len(names)
    assert {"log p(x)", "SITN", "5-NN of pixels"} < set(names)
    parts = {row.name for row in listed if row.part}
    combined = {score.name for score in ood.v1(flow)}
    assert parts < combined < set(names)
    assert not {"log p(x)", "5-NN of pixels"} & parts
    local = ood.LocalDimension().name
    assert (local in names) == (passes > 1)
    if passes > 1:
        return
    rng = np.random.default_rng(0)

    def outputs(events, count):
        latents = (rng.normal(size=(count, 16, 16, 1)),)
        terms = rng.normal(size=(2, count, 1))
        return ood.FlowOutputs(events, *terms, latents)

    # of other contrasts: codes of other lengths
    levels = rng.integers(2, 256, (620, 1, 1, 1))
    events = (levels * rng.random((620, 16, 16, 1))).astype(np.uint8)
    train, held_out = outputs(events[:400], 400), outputs(events[400:600], 200)
    given = ood.Given(train=train, id_validation=held_out)
    controls = [row.score for row in listed if row.control]
    assert len(controls) >= 8
    for score in controls:
        fitted = score.fit(flow, given)
        # of other latents
        first, again = (
            fitted.score_outputs(outputs(events[600:], 20)) for _ in range(2)
        )
        np.testing.assert_array_equal(first, again)


@pytest.mark.thorough
def test_scores_of_an_encoder_join_where_it_is_installed(monkeypatch):
    seen = []

    def vectors(self, images):
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, :40].astype(np.float32)

    monkeypatch.setattr("experiments.scores.encoder.has_encoder", lambda: True)
    monkeypatch.setattr(EncoderFeatures, "vectors", vectors)
    flow = ood.ScoredFlow(RealNVP((16, 16, 1), scales=2, couplings=1), {})
    listed = {row.name: row for row in rows(flow)}
    assert not listed["flow and pixels and encoder, rank-Gauss"].control
    assert listed["pixels alone with encoder, Bonferroni"].control
    # the same in another process: kept scores are known by it
    assert " at 0x" not in repr([row.score for row in listed.values()])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (130, 16, 16, 1), np.uint8)
    train, new = (
        ood.FlowOutputs(x, np.zeros((len(x), 1)), np.zeros((len(x), 1)), (x / 255,))
        for x in (images[:100], images[100:])
    )
    for name in ("5-NN of encoder features", "flow of encoder features"):
        score = listed[name].score
        fitted = score.fit(flow, ood.Given(train=train))
        inside = fitted.score_outputs(new)
        far = fitted.score_outputs(dataclasses.replace(new, events=new.events // 9))
        assert np.median(far) < np.median(inside)
    # once each, for both scores
    assert seen == [100, 30, 30]
    # as many as there is room for: a whole block of sets, and no more than that
    features = listed["5-NN of encoder features"].score.features
    sets = [images[i : i + 9] for i in range(20)]
    first = [features(x) for x in sets]
    for x, expected in zip(sets, first, strict=True):
        assert features(x) is expected
    monkeypatch.setattr(encoder, "REMEMBERED", 3 * first[0].nbytes)
    features(images)
    assert len(encoder._remembered) <= 3
