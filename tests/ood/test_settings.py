"""Settings of every detector: what is out of range is named when it is made."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood.settings import COUNT, SHARE, STEPS, OneOf, Within

BAD = [
    *((ood.ASH, {"variant": "q"}), (ood.ASH, {"pruned": 85}), (ood.ASH, {"pruned": 1})),
    *((ood.SCALE, {"pruned": 85}), (ood.SCALE, {"pruned": -0.1})),
    *((ood.DICE, {"sparsity": 1.0}), (ood.DICE, {"sparsity": float("nan")})),
    *((ood.ReAct, {"percentile": 0.9}), (ood.ReAct, {"percentile": 101})),
    *((ood.Energy, {"temperature": 0}), (ood.Energy, {"temperature": -1})),
    *((ood.Energy, {"temperature": "1"}), (ood.Energy, {"temperature": np.inf})),
    *((ood.GEN, {"gamma": -1}), (ood.GEN, {"gamma": np.inf})),
    *((ood.NNGuide, {"k": 0}), (ood.NNGuide, {"k": 2.0}), (ood.NNGuide, {"k": True})),
    *((ood.NNGuide, {"share": 10}), (ood.NNGuide, {"share": 0})),
    *((ood.KNN, {"k": 0}), (ood.ViM, {"dims": -1})),
    *((d, {"dims": 2.5}) for d in (ood.ViM, ood.Residual, ood.NECO)),
    *((ood.NACUE, {"layers": "conv"}), (ood.RankFeat, {"layers": "conv"})),
    *((ood.ODIN, {"temperatures": (0,)}), (ood.ODIN, {"temperatures": (1, -1)})),
    *((ood.ODIN, {"magnitudes": ()}), (ood.ODIN, {"magnitudes": 0.01})),
    *((ood.ODIN, {"magnitudes": (-0.1,)}), (ood.ODIN, {"batch_size": 0})),
    *((ood.FSSD, {"magnitudes": ()}), (ood.FSSD, {"images": 0})),
    *(
        (ood.FSSD, {"sign": 0}),
        (ood.FSSD, {"noise": "white"}),
        (ood.FSSD, {"seed": -1}),
    ),
    *((ood.MahalanobisFeatures, {"shrinkage": 1.5}),),
    *((ood.RelativeMahalanobis, {"shrinkage": "oas"}),),
    *((ood.MahalanobisLayers, {"shrinkage": -1}),),
    *((ood.MahalanobisLayers, {"magnitudes": ("0.1",)}),),
    *((ood.MCDropout, {"passes": 1}), (ood.MCDropout, {"scoring": "best"})),
]


@pytest.mark.parametrize(("detector", "setting"), BAD)
def test_a_setting_out_of_range_is_named_with_its_range(detector, setting):
    with pytest.raises(ValueError) as error:
        detector(**setting)
    ((name, value),) = setting.items()
    said = str(error.value)
    assert said.startswith(
        f"{detector.__name__}: {name} must be {detector.ranges[name]}"
    )
    assert said.endswith(f"; got {value!r}")


def test_every_range_is_of_a_field():
    detectors = [getattr(ood, name) for name in ood.__all__]
    for cls in detectors:
        if isinstance(cls, type) and issubclass(cls, ood.Detector):
            assert set(cls.ranges) <= set(getattr(cls, "__dataclass_fields__", ())), cls


def test_no_setting_hides_what_every_detector_has():
    """`grid`, the settings that `Tuned` compares, was once the name of a setting."""
    listed = [getattr(ood, name) for name in ood.__all__]
    kinds = [c for c in listed if isinstance(c, type) and issubclass(c, ood.Detector)]
    shared = {n for n in dir(ood.Detector) if not n.startswith("_")}
    hidden = {c.__name__: shared & _settings(c) for c in kinds}
    assert len(kinds) > 60
    assert {name: h for name, h in hidden.items() if h} == {}


def _settings(cls):
    """The names of a detector's settings; a base of others has none."""
    return {f.name for f in fields(cls)} if is_dataclass(cls) else set()


@pytest.mark.parametrize(
    ("allowed", "values", "others", "text"),
    [
        (SHARE, (0, 0.5, np.float32(0.99)), (1, -1e-9, None, "0.5"), "[0, 1)"),
        (COUNT, (1, np.int64(7)), (0, 1.0, True), "an integer in [1, inf)"),
        (STEPS, ([0.0], (1, 2), np.ones(2)), ((), 0.1, "0.1", (-1,)), "tuple of one"),
        (Within(0, 1, names=("auto",)), (1, "auto"), ("other", 2), "or 'auto'"),
        (OneOf((1, -1)), (1, -1), (0, "1", True), "one of 1, -1"),
    ],
)
def test_ranges(allowed, values, others, text):
    assert all(map(allowed.allows, values))
    assert not any(map(allowed.allows, others))
    assert text in str(allowed)
