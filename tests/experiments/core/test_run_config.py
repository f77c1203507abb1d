"""A config is kept with its run: what may change, and what is refused."""

import json
import math

import pytest
from ml_collections import ConfigDict

from experiments.core.config import load_config
from experiments.core.keys import flatten
from experiments.core.run_config import keep_config, read_config
from experiments.core.run_search import runs_below
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, snapshot

DEMO = str(CONFIGS / "demo.py")


def test_a_kept_config_reads_back_equal(tmp_path):
    config = load_config(f"{DEMO}:bottleneck", ["data.ood=mnist:test,mnist:train"])
    keep_config(config, tmp_path / "a" / "run")
    read = read_config(tmp_path / "a" / "run")
    assert isinstance(read, ConfigDict)
    assert flatten(read) == flatten(config)
    assert {k: type(v) for k, v in flatten(read).items()} == {
        k: type(v) for k, v in flatten(config).items()
    }
    # and a run that goes on is accepted with it
    keep_config(read, tmp_path / "a" / "run")
    assert [p.name for p in (tmp_path / "a" / "run").iterdir()] == ["config.json"]


def test_a_workdir_of_another_config_is_refused_key_by_key(tmp_path):
    keep_config(load_config(f"{DEMO}:smoke"), tmp_path)
    before = snapshot(tmp_path)
    other = load_config(f"{DEMO}:smoke", ["seed=5", "model.mask=cycle", "eval.seed=9"])
    with other.unlocked():
        other.model.extra = 1  # a key of a newer version
    with pytest.raises(UserError) as caught:
        keep_config(other, tmp_path)
    message = str(caught.value)
    assert f"{tmp_path} belongs to another config" in message
    assert "seed (0 there, 5 now)" in message
    assert "model.mask ('checkerboard' there, 'cycle' now)" in message
    assert "model.extra (nothing there, 1 now)" in message
    assert "eval.seed" not in message
    assert "another --workdir" in message
    assert snapshot(tmp_path) == before
    # of a run of another kind, all keys differ, and naming them all would help nobody
    with pytest.raises(UserError, match=r"(.*; ){7}.*, and \d+ more\. Give"):
        keep_config(load_config(str(CONFIGS / "hepmass.py")), tmp_path)


def test_what_changes_no_result_may_change(tmp_path):
    keep_config(load_config(f"{DEMO}:smoke"), tmp_path)
    changes = (
        "parallel=shard_map",
        "data.path=/elsewhere",
        "eval.seed=3",
        "eval.samples=0",
        "eval.batch_size=8",
        "train.log_every=7",
        "train.checkpoint_every=9",
        "train.keep_checkpoints=1",
    )
    keep_config(load_config(f"{DEMO}:smoke", changes), tmp_path)
    kept = flatten(read_config(tmp_path))
    assert kept["parallel"] == "shard_map"
    assert kept["eval.seed"] == 3


def test_a_run_with_batch_norm_may_go_on_in_another_mode(tmp_path):
    """Its statistics are the same in all of them."""
    flow = f"{CONFIGS / 'fashion_mnist_realnvp'}.py:smoke"
    config = load_config(flow)
    assert config.model.norm == "batch"
    keep_config(config, tmp_path)
    keep_config(load_config(flow, ["parallel=pmap"]), tmp_path)
    assert read_config(tmp_path).parallel == "pmap"
    with pytest.raises(UserError, match=r"model\.norm_group \(0 there, 4 now\)"):
        keep_config(load_config(flow, ["model.norm_group=4"]), tmp_path)


def test_models_without_batch_norm_keep_their_keys(tmp_path):
    config = load_config(f"{CONFIGS / 'fashion_mnist_glow'}.py:smoke")
    keep_config(config, tmp_path)
    assert flatten(read_config(tmp_path)) == flatten(config)


def test_checkpoints_without_a_config_are_not_adopted(tmp_path):
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"checkpoints but no config\.json"):
        keep_config(load_config(f"{DEMO}:smoke"), tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_workdir_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("here already")
    with pytest.raises(UserError, match="cannot write in --workdir"):
        keep_config(load_config(f"{DEMO}:smoke"), tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"seed": 0', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "it is [], not an object"),
        (b'{"model": 5}', "model must be a group of keys, got 5"),
        (b'{"seed": 0}', "parallel, fsdp, data, model, optimizer, train, eval missing"),
    ],
)
def test_a_damaged_config_is_named(tmp_path, content, said):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_config(tmp_path)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    with pytest.raises(UserError):
        keep_config(load_config(f"{DEMO}:smoke"), tmp_path)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", None, "seed must be an int, got None"),
        ("seed", {"a": 1}, "seed missing"),
        ("a.b", 1, "is no config: "),
        ("optimizer", {"learning_rate": math.inf}, "learning_rate must be finite"),
        ("eval", {"batch_size": "8"}, "eval.batch_size must be an int, got '8'"),
        ("data", {"ood": "a:test"}, "data.ood must be a tuple of str, got 'a:test'"),
        ("model", {"name": ["glow"]}, "model.name must be a str, got ('glow',)"),
    ],
)
def test_values_of_a_kept_config_are_checked_like_all_others(
    tmp_path, key, value, said
):
    raw = load_config(f"{DEMO}:smoke").to_dict()
    raw[key] = raw[key] | value if isinstance(raw.get(key), dict) else value
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(UserError) as caught:
        read_config(tmp_path)
    assert said in str(caught.value)


def test_a_directory_without_a_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"holds no run .* train one first"):
        read_config(tmp_path / "none")


def test_runs_below_a_directory_are_named(tmp_path):
    """Of `detect` and `ablate`, whose --workdir holds the runs they train."""
    for inner in ("networks/seed_0", "runs/flow=a/seed_0"):
        (tmp_path / inner).mkdir(parents=True)
        (tmp_path / inner / "config.json").write_text("{}")
    with pytest.raises(UserError) as refused:
        read_config(tmp_path)
    named = f"give {tmp_path / 'networks/seed_0'}, or one of the 1 others below it"
    assert str(refused.value).endswith(named)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text("{}")
    assert runs_below(tmp_path)[0] == tmp_path / "own"


def test_config_json_is_readable_json(tmp_path):
    keep_config(load_config(f"{DEMO}:smoke"), tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["data"]["ood"] == ["mnist:test"]
    assert raw["train"]["num_steps"] == 4
