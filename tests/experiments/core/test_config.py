"""Configs: loading and overriding; types, bounds and names of their keys."""

from pathlib import Path

import pytest

from experiments.core.config import known_configs, load_config, with_overrides
from experiments.core.keys import flatten
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS

DEMO = str(CONFIGS / "demo.py")


def load(*overrides, variant="smoke"):
    return flatten(load_config(f"{DEMO}:{variant}", overrides))


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=7", 7),
        ("train.num_steps=1_000", 1000),
        ("optimizer.learning_rate=1e-4", 1e-4),
        ("optimizer.learning_rate=1", 1.0),
        ("model.mask=cycle", "cycle"),
        # text stays text, whatever it looks like
        ("data.path=12", "12"),
        ("data.path=a=b", "a=b"),
        ("data.path=", ""),
        ("model.zero_init=false", False),
        ("model.skip=True", True),
        ("data.ood=mnist:train", ("mnist:train",)),
        ("data.ood=mnist:test,mnist:train", ("mnist:test", "mnist:train")),
        ("data.ood=mnist:test, mnist:train,", ("mnist:test", "mnist:train")),
        ("data.ood=('a','b:test')", ("a", "b:test")),
        ("data.ood=['a']", ("a",)),
        ("data.altered=()", ()),
        ("data.altered=", ()),
    ],
)
def test_an_override_takes_the_type_of_the_key(override, value):
    key = override.partition("=")[0]
    before, after = load(), load(override)
    assert after[key] == value
    assert type(after[key]) is type(before[key])
    assert {k: v for k, v in after.items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }


def test_numbers_of_a_tuple_are_those_of_its_key():
    where = f"{CONFIGS / 'cifar10_detect.py'}:smoke"
    changes = ["model.mean=0,0.5,1", "detect.severities=2", "detect.detectors=MSP"]
    after = flatten(load_config(where, changes))
    assert after["model.mean"] == (0.0, 0.5, 1.0)
    assert {type(v) for v in after["model.mean"]} == {float}
    assert after["detect.severities"] == (2,)
    assert after["detect.detectors"] == ("MSP",)
    with pytest.raises(
        UserError, match=r"'model\.mean' takes a tuple of float such as"
    ):
        load_config(where, ["model.mean=grey"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        # as key 0 would be, by JAX
        ("seed=4294967296", "config.seed must be at most 4294967295, got 4294967296"),
        ("eval.seed=99999999999999999999", "config.eval.seed must be at most 429496"),
        ("train.num_steps=3_000_000_000", "train.num_steps must be at most 2147483647"),
        ("train.batch_size=1_000_000_000_000", "train.batch_size must be at most 1677"),
        ("model.width=1000000000", "config.model.width must be at most 65536, got 100"),
        ("data.read_workers=10000", "config.data.read_workers must be at most 256"),
        ("eval.samples=1000000000", "config.eval.samples must be at most 10000, got 1"),
        (
            "train.negative_threshold=1e999",
            "_threshold must be finite, got inf",
        ),
        ("optimizer.clip_norm=1e999", "config.optimizer.clip_norm must be finite"),
    ],
)
def test_a_number_beyond_all_runs_is_refused(override, said):
    with pytest.raises(UserError) as caught:
        load(override)
    assert said in str(caught.value)


def test_the_last_override_of_a_key_counts():
    assert load("seed=1", "seed=2")["seed"] == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=1.5", "'seed' takes an int such as 0, got '1.5'"),
        ("seed=1e3", "'1e3'"),
        ("seed=true", "'true'"),
        ("seed=", "''"),
        ("optimizer.l2=small", "'optimizer.l2' takes a float such as 5e-05"),
        ("optimizer.l2=nan", "'nan'"),
        ("optimizer.l2=True", "'True'"),
        ("model.skip=1", "'model.skip' takes a bool such as True, got '1'"),
        ("model.skip=yes", "'yes'"),
        ("data.ood=3", "'data.ood' takes a tuple of str such as "),
        ("data.ood=(1, 2)", "'(1, 2)'"),
        # Python gives up on these in ways of its own
        (f"seed={5000 * '-'}1", "'seed' takes an int such as 0, got '-----"),
        (f"optimizer.l2=1{400 * '0'}", "takes a float such as 5e-05, got '1000"),
        (f"seed=1{5000 * '0'}", "takes an int such as 0, got '1000"),
    ],
)
def test_a_value_of_another_type_is_refused(override, said):
    with pytest.raises(UserError) as caught:
        load(override)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.batchsize=3", "unknown config key 'train.batchsize'; did you mean "),
        ("train.batchsize=3", "'train.batch_size'?"),
        ("model.masks=cycle", "did you mean 'model.mask'?"),
        ("batch_size=3", "did you mean 'eval.batch_size' or 'train.batch_size'?"),
        ("learning_rate=3", "did you mean 'optimizer.learning_rate'?"),
        ("zzzzzzzz=3", "known: data."),
        ("train=3", "'train' is a group; set one of train.batch_size, "),
        ("seed.more=3", "unknown config key 'seed.more'"),
        ("seed", "--config.seed needs a value: --config.seed=VALUE"),
    ],
)
def test_an_unknown_key_names_the_nearest(override, said):
    with pytest.raises(UserError) as caught:
        load(override)
    assert said in str(caught.value)


def test_an_unknown_variant_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'smok'; known: smoke, cpu, bottleneck"):
        load(variant="smok")


def test_a_missing_file_lists_the_known_configs():
    with pytest.raises(UserError) as caught:
        load_config("runs/fashion_mnist_realnvp")
    message = str(caught.value)
    assert "'runs/fashion_mnist_realnvp'" in message
    assert "did you mean experiments/configs/fashion_mnist_realnvp.py?" in message
    assert all(name in message for name in known_configs())
    shared = (CONFIGS / "shared").glob("*.py")
    assert not [path.name for path in shared if f" {path.name}" in message]
    with pytest.raises(UserError, match=r"no config file 'quite_else\.py'; in exp"):
        load_config("quite_else.py")


def test_a_hint_from_elsewhere_is_a_path_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = "experiments/configs/fashion_mnist_realnvp.py"
    with pytest.raises(UserError) as caught:
        load_config(typed)
    hint = str(caught.value).partition("did you mean ")[2].partition("?")[0]
    assert hint != typed
    assert Path(hint).is_file()


def test_a_path_may_hold_colons(tmp_path):
    directory = tmp_path / "a:b"
    directory.mkdir()
    (directory / "x.py").write_text(Path(DEMO).read_text())
    plain = load_config(DEMO)
    assert flatten(load_config(f"{directory}/x.py")) == flatten(plain)
    smoke = load_config(f"{directory}/x.py:smoke")
    assert flatten(smoke) == flatten(load_config(f"{DEMO}:smoke"))
    with pytest.raises(UserError, match="unknown variant 'no'"):
        load_config(f"{directory}/x.py:no")


BROKEN = {
    "no_function": ("x = 1\n", "defines no get_config"),
    "syntax": ("\n\ndef get_config(:\n", "SyntaxError"),
    "name": ("\nx = y\n", "line 2: NameError: name 'y' is not defined"),
    "late": ("def get_config(v):\n    return {}['k']\n", "line 2: KeyError: 'k'"),
    "leaves": ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
    "leaves_late": ("def get_config(v):\n    exit(3)\n", "line 2: SystemExit: 3"),
    "takes_none": ("def get_config():\n    return 1\n", "TypeError"),
    "a_dict": ("def get_config(v):\n    return {}\n", "a dict, not a ConfigDict"),
    "half": (
        "from ml_collections import ConfigDict\n"
        "def get_config(v):\n    return ConfigDict({'seed': 0, 'data': {}})\n",
        "no whole config: parallel, fsdp, model, optimizer, train, eval missing",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_config_file_is_named_with_its_line(tmp_path, kind):
    source, said = BROKEN[kind]
    file = tmp_path / f"{kind}.py"
    file.write_text(source)
    with pytest.raises(UserError) as caught:
        load_config(str(file))
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


# a statement about the demo's config, and what is said of it
ILL_TYPED = [
    ("train.batch_size = 16.0", "train.batch_size must be an int, got 16.0"),
    ("train.num_steps = True", "train.num_steps must be an int, got True"),
    ("seed = None", "seed must be an int, got None"),
    ("optimizer.learning_rate = '1e-3'", "learning_rate must be a float, got '1e-3'"),
    ("model.width = '2'", "model.width must be an int, got '2'"),
    ("model.mask = lambda: 0", "model.mask must be a str, got <function"),
    ("model.skip = 1", "model.skip must be a bool, got 1"),
    ("model.name = ('glow',)", "model.name must be a str, got ('glow',)"),
    ("data.ood = 5", "data.ood must be a tuple of str, got 5"),
    ("data.ood = 'a:test'", "data.ood must be a tuple of str, got 'a:test'"),
    ("data.ood = ('a', 3)", "data.ood must be a tuple of str, got ('a', 3)"),
    ("data.path = 3", "data.path must be a str, got 3"),
    (
        "data.validation = 0.5",
        "data.validation must be an int for a flow on images, got 0.5",
    ),
    ("model = 5", "model must be a group of keys, got 5"),
    ("eval = [1]", "eval must be a group of keys, got "),
    ("train.num_steps = {'a': 1}", "is no whole config: train.num_steps missing"),
    ("train.num_steps = 10**5000", "train.num_steps must be at most 2147483647"),
]


def changed_demo(file: Path, statement: str) -> str:
    file.write_text(
        "from experiments.configs import demo\n"
        "def get_config(variant):\n"
        "    config = demo.get_config(variant)\n"
        "    with config.unlocked(), config.ignore_type():\n"
        f"        config.{statement}\n"
        "    return config\n"
    )
    return f"{file}:smoke"


@pytest.mark.parametrize(("statement", "said"), ILL_TYPED)
def test_types_of_a_file_are_those_of_its_keys(tmp_path, statement, said):
    where = changed_demo(tmp_path / "x.py", statement)
    with pytest.raises(UserError) as caught:
        load_config(where)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ablate.grids=5", "'ablate.grids' takes a tuple of dict such as ({"),
        ("ablate.grids=model.width", "'ablate.grids' takes a tuple of dict such as ({"),
        (
            "ablate.seeds=99999999999999999999",
            "ablate.seeds must be at most 4294967295",
        ),
        ("ablate.seeds=-1", "config.ablate.seeds must be at least 0, got (-1,)"),
    ],
)
def test_grids_and_seeds_of_ablations_have_types_and_bounds(override, said):
    with pytest.raises(UserError) as caught:
        load_config(f"{CONFIGS / 'fashion_mnist_ablation.py'}:smoke", [override])
    assert said in str(caught.value)


def test_a_file_may_write_whole_numbers_and_lists(tmp_path):
    statement = "optimizer.learning_rate = 1; config.data.ood = ['a:test']"
    config = load_config(changed_demo(tmp_path / "x.py", statement))
    assert repr(config.optimizer.learning_rate) == "1.0"
    assert config.data.ood == ("a:test",)


def test_a_config_is_a_python_file(tmp_path):
    file = tmp_path / "config.json"
    file.write_text("{}")
    with pytest.raises(UserError, match="not a Python file"):
        load_config(str(file))


def test_a_trained_run_keeps_its_model():
    config = load_config(f"{DEMO}:smoke")
    keys = ("data.ood", "eval")
    changed = with_overrides(config, ["eval.seed=4", "data.ood=a"], keys)
    assert changed.eval.seed == 4
    assert changed.data.ood == ("a",)
    for override in ("model.width=8", "seed=1", "data.train=a", "train.num_steps=9"):
        with pytest.raises(UserError) as caught:
            with_overrides(config, [override], keys)
        message = str(caught.value)
        assert repr(override.partition("=")[0]) in message
        assert "only data.ood, eval can be changed" in message
