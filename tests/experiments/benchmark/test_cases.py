"""The cases of a sweep, and how they are called."""

from functools import partial

import pytest

from experiments.benchmark import STACKINGS
from experiments.benchmark.cases import label, short, stacking, sweep, varying
from experiments.core.config import load_config
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS

load = partial(load_config, f"{CONFIGS / 'demo.py'}:smoke")
BATCHES = [{"train.batch_size": "8"}, {"train.batch_size": "16"}]


def test_a_sweep_is_every_combination_in_the_order_of_its_axes():
    widths = [{"model.width": "2"}, {"model.width": "4"}]
    cases = sweep(load, ["train", "sample"], [widths, BATCHES])
    found = [
        (c.mode, c.config.model.width, c.config.train.batch_size, c.settings)
        for c in cases
    ]
    expected = [
        (mode, width, batch)
        for mode in ("train", "sample")
        for width in (2, 4)
        for batch in (8, 16)
    ]
    assert [f[:3] for f in found] == expected
    for mode, width, batch, settings in found:
        assert settings["mode"] == mode
        assert settings["model.width"] == width
        assert settings["batch_size"] == batch


def test_adapters_matter_to_training_alone():
    adapters = [{"parallel": "jit"}, {"parallel": "pmap"}]
    cases = sweep(load, ["train", "evaluate"], [BATCHES, adapters])
    assert len(cases) == 4 + 2
    assert {c.config.parallel for c in cases if c.mode == "evaluate"} == {"jit"}


def test_every_stacking_is_called_by_the_name_it_was_asked_by():
    axis = [{k: str(v) for k, v in keys.items()} for keys in STACKINGS.values()]
    cases = sweep(load, ["train"], [axis])
    assert [c.settings["stack"] for c in cases] == list(STACKINGS)
    for case, keys in zip(cases, STACKINGS.values()):
        assert stacking(case.config) == case.settings["stack"]
        assert case.config.model.stack == keys["model.stack"]
        assert case.config.model.reversible is keys["model.reversible"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"model.widht": "2"}, "unknown config key 'model.widht'; did you mean 'model"),
        ({"model": "2"}, "'model' is a group"),
        ({"model.width": "wide"}, "'model.width' takes an int such as"),
    ],
)
def test_keys_and_values_that_a_config_does_not_have(choice, message):
    with pytest.raises(UserError, match=message):
        sweep(load, ["train"], [[choice]])


def test_a_case_is_called_by_what_tells_it_from_the_others():
    first = {"mode": "train", "model.couplings": 4, "batch_size": 8, "stack": "scan"}
    rows = [first, first | {"stack": "chain", "model.couplings": 8}]
    swept = varying(rows)
    assert swept == ["model.couplings", "stack"]
    assert label(rows[1], swept) == "train couplings 8 chain"
    assert label(first, ["batch_size"]) == "train batch 8"
    assert varying(rows[:1]) == []
    assert short("optimizer.name") == "name"
