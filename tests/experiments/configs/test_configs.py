"""Every file of experiments/configs: the paper's numbers, and variants that fit."""

import json
from functools import cache
from typing import NamedTuple

import jax
import pytest
from ml_collections import ConfigDict

from experiments.cli import run
from experiments.configs.shared import glow, images
from experiments.core import build
from experiments.core.checks import check
from experiments.core.config import known_configs, load_config
from experiments.core.keys import flatten
from experiments.core.set_names import ood_origins
from experiments.core.sets import load_sets
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.network import as_input
from flowjax_ood.training.state import parameter_count
from tests.helpers.experiment_runs import CONFIGS, read_results

GRAY, RGB, RGB64 = (28, 28, 1), (32, 32, 3), (64, 64, 3)
DATASETS = {"fashion_mnist": GRAY, "mnist": GRAY}
DATASETS |= {"cifar10": RGB, "svhn": RGB, "celeba": RGB, "imagenet64": RGB64}
DATASETS |= {"emoji": RGB}
# of commands of their own, whose tests run them
SYSTEMS = {f for f in known_configs() if "system_config(" in (CONFIGS / f).read_text()}


class Recipe(NamedTuple):
    """The paper's model and training of one kind of images."""

    parameters: int
    learning_rate: float
    # the paper's code runs one more than it is told
    epochs: int
    model: dict


RECIPES = {
    ("realnvp", GRAY): Recipe(14_707_336, 5e-5, 82, {"scales": 2, "blocks": 6}),
    ("realnvp", RGB): Recipe(87_859_080, 1e-4, 102, {"scales": 3, "blocks": 8}),
    ("glow", GRAY): Recipe(
        69_378_048, 5e-5, 152, {"scales": 2, "steps": 16, "width": 200}
    ),
    ("glow", RGB): Recipe(
        208_932_480, 1e-5, 162, {"scales": 3, "steps": 8, "width": 400}
    ),
}
# not published: the recipe for 32 x 32, with as many images as CelebA's shows
RECIPES |= {
    ("realnvp", RGB64): RECIPES["realnvp", RGB]._replace(epochs=13),
    ("glow", RGB64): RECIPES["glow", RGB]._replace(epochs=21),
}
PAPER = {f"{name}_{m}": (name, m) for m in ("realnvp", "glow") for name in DATASETS}
# what the paper's recipes of one model have in common
OF_MODEL = {
    "realnvp": {
        "model.name": "real_nvp",
        "model.couplings": 0,
        "model.mask": "checkerboard",
        "model.st_net": "resnet",
        "model.width": 64,
        "model.norm": "batch",
        "model.skip": True,
        "model.zero_init": False,
        "optimizer.name": "adam",
        # L2 and clipping: the weight-norm scales by themselves
        "optimizer.scales_apart": True,
    },
    "glow": {
        "model.name": "glow",
        "model.mask": "first_half",
        "model.st_net": "highway",
        "model.layers": 3,
        "model.conv1x1": "dense",
        "optimizer.name": "rmsprop",
        # L2 and clipping: of everything together
        "optimizer.scales_apart": False,
    },
}
COMMON = {
    # what torch multiplies with on GPUs
    "model.precision": "tensorfloat32",
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.clip_norm": 100.0,
    "optimizer.l2": 5e-5,
    "optimizer.weight_decay": 0.0,
    "optimizer.ema_decay": 0.0,
    "train.batch_size": 32,
    "train.num_steps": 0,
    "data.source": "tfds",
    "data.limit_train": 0,
    "data.limit_test": 0,
    "data.channels": 0,
    "data.ood_source": (),
    "data.ood_path": (),
    "eval.draws": 1,
}
OOD = {
    "fashion_mnist": ("mnist:test",),
    "mnist": ("fashion_mnist:test",),
    "cifar10": ("svhn_cropped:test", "celeba:test"),
    "svhn": ("cifar10:test", "celeba:test"),
    "celeba": ("cifar10:test", "svhn_cropped:test"),
    "imagenet64": ("celeba:test", "svhn_cropped:test"),
    "emoji": (
        *("emoji:things", "emoji:hands", "emoji:flags"),
        *("fashion_mnist:test", "mnist:test"),
    ),
}
# not of the paper's: shipped with the package, and named otherwise
OF_SET = {
    "imagenet64": {"data.test": "imagenet64:validation", "data.image_size": 64},
    "emoji": {
        "data.train": "emoji:people_train",
        "data.test": "emoji:people_test",
        "data.source": "embedded",
        "data.image_size": 32,
        "data.channels": 3,
    },
}
VARIANTS = [(name, v) for name in PAPER for v in ("", "smoke", "cpu")]
GLOWS = [name for name in PAPER if name.endswith("_glow")]
VARIANTS += [(name, v) for name in GLOWS for v in ("stable", "stable_smoke")]
DEMO_VARIANTS = ("", "smoke", "cpu", "bottleneck", "smoke_bottleneck")
FILES = {name: f"{name}.py" for name in (*PAPER, "demo")}
ALL = VARIANTS + [("demo", v) for v in DEMO_VARIANTS]


def config_of(name: str, variant: str = ""):
    return load_config(f"{CONFIGS / FILES[name]}:{variant}")


def shape_of(name: str):
    return DATASETS[PAPER[name][0]] if name in PAPER else GRAY


@cache
def count_parameters(shape, model: str) -> int:
    """Parameters of the flow of `{"model": ...}` in JSON; nothing is computed."""
    config = ConfigDict({"model": json.loads(model)})
    flow = build.flow(config, shape)
    x = jax.ShapeDtypeStruct((2, *shape), "float32")
    return parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])


@pytest.mark.parametrize("file", sorted(set(known_configs()) - SYSTEMS))
def test_the_smoke_variant_of_every_file_builds(file):
    config = load_config(f"{CONFIGS / file}:smoke")
    # without downloads: scikit-learn ships its tables
    assert config.data.source in ("embedded", "synthetic", "sklearn")
    # a classifier that knows nothing gives detectors nothing to read
    assert 0 < config.train.num_steps <= (200 if "detect" in config else 4)
    check(config)
    assert ood_origins(config.data)
    sets = load_sets(config)
    shape = sets.event_shape
    if "detect" in config:
        module = build.classifier(config, 10)
        dtype = as_input(sets.inputs(sets.test)[:1]).dtype
        x = jax.ShapeDtypeStruct((2, *shape), dtype)
        assert jax.eval_shape(module.init, jax.random.key(0), x)["params"]
        return
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    assert count_parameters(shape, model) > 0


def test_imagenet64_shows_as_many_images_as_celeba():
    images = {"celeba": 162_770, "imagenet64": 1_281_149}
    for model in ("realnvp", "glow"):
        seen = {
            n: config_of(f"{n}_{model}").train.num_epochs * images[n] for n in images
        }
        assert seen["imagenet64"] == pytest.approx(seen["celeba"], rel=0.03)


@pytest.mark.parametrize("name", PAPER)
def test_hyper_parameters_are_the_papers(name):
    dataset, model = PAPER[name]
    recipe = RECIPES[model, DATASETS[dataset]]
    at = {"svhn": "svhn_cropped"}.get(dataset, dataset)
    expected = COMMON | OF_MODEL[model]
    expected |= {f"model.{key}": value for key, value in recipe.model.items()}
    expected |= {
        "optimizer.learning_rate": recipe.learning_rate,
        "train.num_epochs": recipe.epochs,
        "data.train": f"{at}:train",
        "data.test": f"{at}:test",
        "data.ood": OOD[dataset],
        "data.image_size": 0,
    }
    expected |= OF_SET.get(dataset, {})
    found = flatten(config_of(name))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.thorough
@pytest.mark.parametrize("name", PAPER)
def test_parameter_counts_are_the_papers(name):
    dataset, kind = PAPER[name]
    parameters = RECIPES[kind, DATASETS[dataset]].parameters
    model = json.dumps(config_of(name).model.to_dict(), sort_keys=True)
    assert count_parameters(shape_of(name), model) == parameters
    assert f"{parameters:,} parameters" in (CONFIGS / FILES[name]).read_text()


@pytest.mark.parametrize("name", GLOWS)
def test_the_stable_recipe_trains_the_same_flow_on_the_same_images(name):
    paper, stable = config_of(name), config_of(name, "stable")
    assert stable.model == paper.model
    assert stable.data == paper.data
    assert stable.optimizer.warmup_steps > 0
    assert stable.train.num_epochs <= paper.train.num_epochs


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_variant_is_whole_and_fits(name, variant):
    config = config_of(name, variant)
    flat = flatten(config)
    base = glow.glow if name in GLOWS else images.real_nvp
    base = flatten(base("a:train", "a:test", ("b:test",)))
    # a misspelt key in a variant would be one more, and ignored
    assert list(flat) == list(base)
    assert {k: type(v) for k, v in flat.items()} == {
        k: type(v) for k, v in base.items()
    }
    check(config)
    flow = build.flow(config, shape_of(name))
    assert flow.event_shape == shape_of(name)
    # the commands make up to eight CPU devices, and boards have eight chips
    assert config.train.batch_size % 8 == 0
    steps = build.num_steps(config, 10_000)
    assert config.optimizer.warmup_steps <= steps
    if variant and variant != "stable":
        assert steps <= 2000
    if "smoke" in variant:
        assert config.data.source in ("embedded", "synthetic")
        assert config.train.num_steps <= 4


@pytest.mark.parametrize("variant", DEMO_VARIANTS)
def test_the_demos_flows_can_be_made(variant):
    config = config_of("demo", variant)
    assert config.data.source == "embedded"
    # tracing reaches the st-networks, which have conditions of their own
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    assert 0 < count_parameters(GRAY, model) < 5_000_000


def test_the_demos_bottleneck_changes_the_biases_alone():
    baseline, changed = (flatten(config_of("demo", v)) for v in ("", "bottleneck"))
    different = {key for key in baseline if baseline[key] != changed[key]}
    assert different <= {
        "model.scales",
        "model.couplings",
        "model.mask",
        "model.st_net",
        "model.latent_dim",
        "model.blocks",
    }
    assert changed["model.mask"] == "cycle"
    assert changed["model.st_net"] == "resnet_ae"


@pytest.mark.parametrize("name", FILES)
def test_the_header_holds_the_command(name):
    header = (CONFIGS / FILES[name]).read_text().split('"""')[1]
    joined = " ".join(header.replace("\\\n", " ").split())
    path = f"experiments/configs/{FILES[name]}"
    assert "python -m experiments" in joined
    assert f"train --config={path}" in joined
    assert ":smoke" in joined
    if name in PAPER:
        assert f"train --config={path} --workdir=runs/{name}" in joined
        assert ":cpu" in joined
    if name in GLOWS:
        assert ":stable" in joined


def test_an_unknown_variant_is_refused_by_every_config():
    for name in FILES:
        with pytest.raises(UserError, match="unknown variant 'tpu'; known: smoke"):
            config_of(name, "tpu")


def twin(name: str) -> str:
    """The CIFAR-10 config that differs in its data alone; else the config itself."""
    dataset, _, of = name.partition("_")
    others = ("svhn", "celeba", "imagenet64")
    other = dataset in others and of in ("realnvp", "glow", "negative")
    # emoji themselves are read by the smaller emoji_glow
    other |= name == "emoji_realnvp"
    return f"cifar10_{of}" if other else name


@pytest.mark.parametrize(
    "name", [f.removesuffix(".py") for f in known_configs() if twin(f[:-3]) != f[:-3]]
)
def test_smoke_variants_of_other_data_are_the_same_program(name):
    """So one of them runs through in the slow tests."""
    flat = (flatten(load_config(f"{CONFIGS / n}.py:smoke")) for n in (name, twin(name)))
    own, other = flat
    differ = {key for key in own | other if own.get(key) != other.get(key)}
    data = {"data.train", "data.test", "data.ood", "train.negative"}
    # steps are counted, not epochs; flows of 64 x 64 are built by other tests
    numbers = {"optimizer.learning_rate", "train.num_epochs", "data.image_size"}
    numbers |= {"data.source", "data.channels"} if name == "emoji_realnvp" else set()
    assert differ <= data | numbers


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n in PAPER if PAPER[n][0] != "fashion_mnist" and twin(n) == n]
)
def test_smoke_variants_run_through(tmp_path, name):
    # fashion_mnist's run in train/test_command.py and train/test_glow.py
    dataset, model = PAPER[name]
    config = f"{CONFIGS / FILES[name]}:smoke"
    assert run(["train", f"--config={config}", f"--workdir={tmp_path}"]) == 0
    results = read_results(tmp_path)
    assert results["steps"] == 4
    names = {s if s.startswith("emoji") else s.partition(":")[0] for s in OOD[dataset]}
    assert set(results["auroc"]) == names
    # batch norm's
    assert ("running_statistics" in results) == (model == "realnvp")
    source = "embedded" if dataset in ("mnist", "emoji") else "synthetic"
    assert {s["source"] for s in results["data"].values()} == {source}


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    sorted(
        set(known_configs())
        - set(FILES.values())
        # theirs run in core/test_negatives.py
        - {"fashion_mnist_negative.py"}
        # and in detect/test_runs.py
        - {f"{name}_detect.py" for name in ("fashion_mnist", "cifar10", "genomics")}
        - {f for f in known_configs() if twin(f[:-3]) != f[:-3]}
        # and in the tests of their commands
        - SYSTEMS
    ),
)
def test_smoke_variants_of_other_experiments_run_through(tmp_path, file):
    config = f"{CONFIGS / file}:smoke"
    command = "ablate" if "ablate" in load_config(config) else "train"
    assert run([command, f"--config={config}", f"--workdir={tmp_path}"]) == 0
    if command == "ablate":
        found = json.loads((tmp_path / "ablation.json").read_text())
        assert found["missing"] == []
        assert len(found["rows"]) > 1
    else:
        assert read_results(tmp_path)["steps"] >= 1
