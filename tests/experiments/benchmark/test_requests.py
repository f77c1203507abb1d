"""What `benchmark` can be asked for."""

import argparse

import pytest

from experiments import benchmark as asked
from experiments.benchmark import requests
from experiments.core import options
from flowjax_ood.interface.errors import UserError


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    asked.add_arguments(parser)
    return parser.parse_args(["--config=c.py", *argv])


def test_nothing_is_swept_unless_asked():
    assert requests.axes(parsed()) == []


def test_every_argument_is_an_axis_of_config_keys():
    found = requests.axes(
        parsed(
            "--vary=model.couplings=4, 8",
            "--vary=model.width=16",
            "--batch=32,64",
            "--precision=float32,bfloat16",
            "--stack=chain,scan+full,unroll+reversible",
            "--parallel=jit,pmap",
        )
    )
    keys = ("model.stack", "model.remat", "model.reversible")
    assert found == [
        [{"model.couplings": "4"}, {"model.couplings": "8"}],
        [{"model.width": "16"}],
        [{"train.batch_size": "32"}, {"train.batch_size": "64"}],
        [{"model.precision": "float32"}, {"model.precision": "bfloat16"}],
        [
            dict(zip(keys, ("chain", "none", "False"))),
            dict(zip(keys, ("scan", "full", "False"))),
            dict(zip(keys, ("unroll", "none", "True"))),
        ],
        [{"parallel": "jit"}, {"parallel": "pmap"}],
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--vary=model.width"], "--vary takes KEY=V1,V2,..., got 'model.width'"),
        (["--vary==4"], "--vary takes KEY=V1,V2"),
        (["--vary=model.width=4,,8"], "--vary model.width takes values separated"),
        (["--batch=32,none"], "--batch takes sizes such as 32,64, got '32,none'"),
        (["--batch=0"], "--batch takes sizes"),
        (["--stack=spiral"], "unknown stack 'spiral'; known: chain, unroll, unroll"),
        (["--stack=chain+full"], "unknown stack 'chain\\+full'"),
        (
            ["--batch=8", "--vary=train.batch_size=16"],
            "'train.batch_size' is swept by two arguments",
        ),
        (["--stack=scan", "--vary=model.remat=full"], "'model.remat' is swept by two"),
    ],
)
def test_what_cannot_be_swept(argv, message):
    with pytest.raises(UserError, match=message):
        requests.axes(parsed(*argv))


def test_modes():
    assert options.known_names("mode", "train, sample", asked.MODES) == [
        "train",
        "sample",
    ]
    with pytest.raises(UserError, match="unknown mode 'fly'; known: train, evaluate"):
        options.known_names("mode", "fly", asked.MODES)


def test_a_peak_for_all_precisions_or_one_for_each():
    both = ["float32", "bfloat16"]
    assert requests.peaks("", both) is None
    assert requests.peaks("60", both) == {"float32": 60e12, "bfloat16": 60e12}
    assert requests.peaks("60,990", both) == {"float32": 60e12, "bfloat16": 990e12}


@pytest.mark.parametrize("text", ["fast", "0", "-1", "1,2,3", "inf", "nan", "1,"])
def test_peaks_that_are_none(text):
    with pytest.raises(UserError, match=r"--peak takes .*float32, bfloat16"):
        requests.peaks(text, ["float32", "bfloat16"])
