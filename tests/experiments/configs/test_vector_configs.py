"""Configs of vectors: the paper's numbers, and variants that fit."""

import jax
import pytest

from experiments.configs.shared import vectors
from experiments.core import build
from experiments.core.checks import check
from experiments.core.config import load_config
from experiments.core.keys import flatten
from flowjax_ood.data.loading import load_vectors
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.state import parameter_count
from tests.helpers.experiment_runs import CONFIGS

TABLES = {"hepmass": (15, 621_024), "miniboone": (50, 837_184)}
OF_TABLES = ("", "0", "1", "0_paper", "1_paper", "smoke", "0_smoke", "1_smoke")
SKLEARN = {"breast_cancer1": 30, "breast_cancer0": 30, "wine2": 13, "digits7": 64}
EMBEDDINGS = {"fashion_mnist": 1280, "cifar10": 1792}
ALL = [(name, v, dims) for name, (dims, _) in TABLES.items() for v in OF_TABLES]
ALL += [("tabular_sklearn", v, dims) for v, dims in SKLEARN.items()]
ALL += [("tabular_sklearn", v, 30) for v in ("", "smoke")]
ALL += [
    (f"{name}_embeddings", v, dims)
    for name, dims in EMBEDDINGS.items()
    for v in ("", "cpu", "whitened", "cpu_whitened", "paper", "smoke")
]


def config_of(name: str, variant: str = ""):
    return load_config(f"{CONFIGS / name}.py:{variant}")


def count_parameters(config, dims: int) -> int:
    flow = build.flow(config, (dims,))
    x = jax.ShapeDtypeStruct((2, dims), "float32")
    return parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])


@pytest.mark.parametrize(("name", "variant", "dims"), ALL)
def test_every_variant_is_whole_and_fits(name, variant, dims):
    config = config_of(name, variant)
    base = flatten(vectors.tabular("a:train", "a:test", ("b:test",)))
    flat = flatten(config)
    assert list(flat) == list(base)
    assert {k: type(v) for k, v in flat.items()} == {
        k: type(v) for k, v in base.items()
    }
    check(config)
    dims = config.data.pca if config.data.pca > 0 else dims
    assert 0 < count_parameters(config, dims) < 30_000_000
    assert config.train.batch_size % 8 == 0
    if "smoke" in variant:
        assert config.data.source in ("synthetic", "sklearn")
        assert config.train.num_steps <= 4
        assert load_vectors(config.data.train, source=config.data.source).dims


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("c", [0, 1])
def test_one_class_is_trained_and_the_other_is_ood(table, c):
    config = config_of(table, f"{c}_paper")
    data = config.data
    assert (data.train, data.test) == (f"{table}{c}:train", f"{table}{c}:test")
    assert data.ood == (f"{table}{1 - c}:test",)
    assert data.source == "uci"


@pytest.mark.parametrize("table", TABLES)
def test_the_papers_variant_is_the_script(table):
    dims, parameters = TABLES[table]
    config = config_of(table, "1_paper")
    assert count_parameters(config, dims) == parameters
    assert f"{parameters:,} parameters" in (CONFIGS / f"{table}.py").read_text()
    found = flatten(config)
    expected = {
        "data.validation": 0.0,
        "data.pca": 0,
        "model.couplings": 8,
        "model.mask": "tabular",
        "model.width": 256,
        "model.layers": 1,
        "model.dropout": 0.0,
        "model.zero_init": False,
        "model.max_log_scale": 0.0,
        "optimizer.name": "adam",
        "optimizer.learning_rate": 1e-3,
        "optimizer.schedule": "constant",
        "optimizer.l2": 5e-5,
        "optimizer.scales_apart": False,
        "optimizer.weight_decay": 0.0,
        "optimizer.clip_norm": 100.0,
        "train.batch_size": 1024,
        "train.num_epochs": 101,
        "train.num_steps": 0,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_the_papers_variant_of_embeddings_is_that_of_tables(name):
    """But for the data: the script names no other defaults."""
    found, table = (
        flatten(config_of(n, v))
        for n, v in ((f"{name}_embeddings", "paper"), ("hepmass", "1_paper"))
    )
    changed = {key for key in table if found[key] != table[key]}
    # without a validation set, by which nothing is looked at
    unused = {"train.validate_every", "train.patience", "train.validate_by"}
    of_data = {f"data.{key}" for key in ("source", "train", "test", "ood", "constant")}
    assert changed <= unused | of_data


def test_the_default_is_bounded_and_stopped_by_validation():
    for name in ("hepmass", "tabular_sklearn", "fashion_mnist_embeddings"):
        config = config_of(name)
        assert config.model.max_log_scale > 0
        assert config.optimizer.weight_decay > 0
        assert config.data.validation > 0
        assert config.train.patience > 0


@pytest.mark.parametrize(
    "name", ["hepmass", "miniboone", "tabular_sklearn", "cifar10_embeddings"]
)
def test_an_unknown_variant_is_refused(name):
    with pytest.raises(UserError, match="unknown variant 'tpu'; known: smoke"):
        config_of(name, "tpu")


@pytest.mark.parametrize(
    "name",
    ["hepmass", "miniboone", "tabular_sklearn"]
    + [f"{name}_embeddings" for name in EMBEDDINGS],
)
def test_the_header_holds_the_command(name):
    header = (CONFIGS / f"{name}.py").read_text().split('"""')[1]
    joined = " ".join(header.replace("\\\n", " ").split())
    assert "python -m experiments train" in joined
    assert f"--config=experiments/configs/{name}.py" in joined
    assert ":smoke" in joined
    assert "not available" in joined
