"""Configs of flows that came after Glow: whole, and of the size their header says."""

import jax
import pytest

from experiments.cli import run
from experiments.configs.shared import images
from experiments.core import build
from experiments.core.checks import check
from experiments.core.config import known_configs, load_config
from experiments.core.keys import flatten
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.state import parameter_count
from tests.helpers.experiment_runs import CONFIGS, read_results

SHAPE = (28, 28, 1)
FILES = [f for f in known_configs() if "modern.gray(" in (CONFIGS / f).read_text()]


def config_of(file, variant=""):
    return load_config(f"{CONFIGS / file}:{variant}")


def test_there_are_some():
    assert "fashion_mnist_maf.py" in FILES


@pytest.mark.parametrize("file", FILES)
def test_every_variant_is_whole_and_fits(file):
    base = flatten(images.real_nvp("a:train", "a:test", ("b:test",)))
    base = {k: type(v) for k, v in base.items() if not k.startswith("model.")}
    for variant in ("", "cpu", "smoke"):
        config = config_of(file, variant)
        check(config)
        flat = flatten(config)
        others = {k: v for k, v in flat.items() if not k.startswith("model.")}
        assert {k: type(v) for k, v in others.items()} == base
        assert build.flow(config, SHAPE).event_shape == SHAPE
        assert config.data.source == ("embedded" if variant else "tfds")
        assert config.optimizer.warmup_steps <= build.num_steps(config, 10_000)
        assert config.train.num_steps <= {"": 0, "cpu": 1000, "smoke": 4}[variant]
    with pytest.raises(UserError, match="unknown variant 'tpu'"):
        config_of(file, "tpu")


@pytest.mark.parametrize("file", FILES)
def test_the_header_tells_command_and_parameters(file):
    flow = build.flow(config_of(file), SHAPE)
    x = jax.ShapeDtypeStruct((2, *SHAPE), "float32")
    count = parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])
    header = (CONFIGS / file).read_text().split('"""')[1]
    joined = " ".join(header.replace("\\\n", " ").split())
    assert f"train --config=experiments/configs/{file}:cpu --workdir=" in joined
    assert f"{count:,} parameters" in joined


@pytest.mark.thorough
@pytest.mark.parametrize("file", FILES)
def test_the_smoke_variant_trains_evaluates_and_draws(file, tmp_path):
    config = f"--config={CONFIGS / file}:smoke"
    assert run(["train", config, f"--workdir={tmp_path}"]) == 0
    results = read_results(tmp_path)
    assert results["steps"] == 4
    assert set(results["auroc"]) == {"mnist"}
    # no better than noise yet, 8 bits; worse where each pixel starts from 16 images
    assert all(0 < b < 40 for b in results["bits_per_dim"].values())
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG\r\n")
