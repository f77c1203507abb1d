"""The table of config keys: whole, without strangers, and the only one."""

import ast
import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from experiments.core import build
from experiments.core.config import load_config
from experiments.core.keys import (
    EVERY,
    MODELS,
    ROWS,
    SYSTEMS,
    TABLE,
    Kind,
    among,
    flatten,
    kind,
    missing,
    names,
)
from experiments.core.options import known_configs
from experiments.detect import networks
from flowjax_ood import precision
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime import parallel
from flowjax_ood.training import optimizers
from tests.helpers.experiment_runs import CONFIGS

EXPERIMENTS = CONFIGS.parent
TABLES = {"core/keys.py", "core/system_keys.py"}
# settings under one name: which keys, and not what may be done with them
SETTINGS = {"benchmark/__init__.py"}


def load_any(where: str):
    """The config, of whichever command it is."""
    for system in (None, *SYSTEMS):
        try:
            return load_config(where, (), system)
        except UserError as error:
            if not re.search("use the command|has no section", str(error)):
                raise
    raise AssertionError(f"no command takes {where}")


@cache
def kinds_of_keys() -> dict[str, set[Kind]]:
    """`{key: kinds of the configs that have it}`, of every file and every variant."""
    found = defaultdict(set)
    for file in known_configs():
        with pytest.raises(UserError) as refused:
            load_config(f"{CONFIGS / file}:no_such_variant")
        variants = re.search(r"known: ([\w, ]+)", str(refused.value))[1]
        for variant in ("", *variants.split(", ")):
            config = load_any(f"{CONFIGS / file}:{variant}")
            for key in flatten(config):
                found[key].add(kind(config))
    return found


def test_every_key_of_every_config_has_one_row():
    assert max(Counter(key.name for key in TABLE).values()) == 1
    assert set(kinds_of_keys()) == set(ROWS)


def test_the_types_of_a_row_are_those_of_its_kinds():
    for key in TABLE:
        if isinstance(key.type, dict):
            assert set(key.type) == set(key.kinds)
        assert all(key.type_of(of) for of in key.kinds)


@pytest.mark.parametrize("key", TABLE, ids=lambda key: key.name)
def test_a_row_names_the_kinds_that_have_the_key(key):
    if key.section == "ablate":
        # a grid is of runs, and no run has it
        assert (kinds_of_keys()[key.name], key.kinds) == ({Kind.IMAGES}, ())
    else:
        assert kinds_of_keys()[key.name] == set(key.kinds)


def literals(tree: ast.AST):
    """The constants of every tuple, list, set, dict and comprehension's source."""
    for node in ast.walk(tree):
        items = getattr(node, "keys" if isinstance(node, ast.Dict) else "elts", ())
        yield [item.value for item in items if isinstance(item, ast.Constant)]


def test_no_other_module_holds_a_table_of_keys():
    """A key's way from its file to where it acts passes its row, and no other table."""
    others = {}
    for file in EXPERIMENTS.rglob("*.py"):
        name = file.relative_to(EXPERIMENTS).as_posix()
        if name.startswith("configs/") or name in {
            "core/keys.py",
            "core/system_keys.py",
            *SETTINGS,
        }:
            continue
        dotted = set(ROWS) - {key.section for key in TABLE}
        for constants in literals(ast.parse(file.read_text())):
            if len(found := dotted.intersection(map(str, constants))) > 1:
                others[name] = found
    assert others == {}


def test_a_table_of_keys_is_seen():
    source = "A = ('data.path', 'eval.seed')\nB = {'data.ood': 1, 'eval.seed': 2}"
    assert sum(len(found) == 2 for found in literals(ast.parse(source))) == 2


def test_a_whole_section_goes_by_its_name():
    assert "eval" in names("evaluate")
    assert not any(name.startswith("eval.") for name in names("evaluate"))
    assert "detect" in names("resume", {})


def test_conditions_are_of_the_config():
    assert among("train.patience", names("resume", {"data.validation": 0}))
    assert not among("train.patience", names("resume", {"data.validation": 0.1}))
    assert among("eval.seed", names("resume", {"data.validation": 0.1}))
    assert not among("eval.seed", names("resume", {"data.validation": 1000}))
    assert among("train.num_steps", names("resume", {"optimizer.schedule": "constant"}))
    assert not among("train.num_steps", names("resume", {}))
    assert not among("parallel", names("resume", {"detect.networks": 1}))
    assert not among("parallel", names("resume", {"model.dropout": 0.2}))
    assert among("parallel", names("resume", {"model.dropout": 0.0}))


def test_what_says_what_is_scored_may_be_set_for_a_trained_run():
    for key in names("scored"):
        assert among(key, names("evaluate"))
        assert among(key, names("pooled", {}))


def test_names_are_those_that_the_library_knows():
    assert set(build.MODELS) == set(MODELS)
    assert tuple(precision.PRECISIONS) == ROWS["model.precision"].choices
    assert ("auto", *precision.CONVOLUTIONS) == ROWS["model.convolution"].choices
    assert ROWS["parallel"].choices == parallel.MODES
    assert tuple(networks.AUGMENTATIONS) == ROWS["train.augment"].choices
    for key, known in (
        ("optimizer.name", optimizers.OPTIMIZERS),
        ("optimizer.schedule", optimizers.SCHEDULES),
    ):
        assert set().union(*ROWS[key].choices.values()) == set(known)


@pytest.mark.parametrize(("model", "of"), MODELS.items())
def test_the_kind_is_that_of_the_model(model, of):
    sections = {"detect": {}} if of.classifies else {}
    assert kind({"model": {"name": model}, **sections}) is of
    # a flow in a config of classifiers, say, is refused as an unknown model
    other = {} if of.classifies else {"detect": {}}
    assert kind({"model": {"name": model}, **other}).classifies != of.classifies


def test_what_a_config_lacks_is_named():
    assert missing({"seed": 0, "data": {}})[:3] == ["parallel", "fsdp", "model"]
    config = load_config(str(CONFIGS / "demo.py"))
    assert missing(config) == []
    with config.unlocked():
        del config.train.patience, config.model.width
    assert missing(config) == ["train.patience"]
    assert all(set(key.kinds) <= set(EVERY) for key in TABLE)
