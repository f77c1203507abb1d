"""`ablate`: the grid, going on, what is written, and what is refused."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.ablate import command as ablate
from experiments.ablate.grid import cells
from experiments.ablate.table import bottleneck_series
from experiments.cli import run
from experiments.configs.shared import images
from experiments.core.config import load_config
from experiments.core.kept_results import read_results
from experiments.core.keys import flatten
from experiments.core.run_config import keep_config, read_config
from experiments.core.workdir import locked
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.logs.window import NonFiniteLossError
from tests.helpers.experiment_runs import CONFIGS, only_error

pytestmark = pytest.mark.thorough

# no bottleneck, and one of two widths: flows of two couplings on 8x8 images
TINY = """
from experiments.configs import demo
from experiments.configs.shared import images

def get_config(variant=""):
    config = demo.get_config("smoke")
    config.data.update(limit_train=48, limit_test=20, image_size=8)
    config.model.update(scales=1, couplings=2, width=2, blocks=2)
    config.eval.samples = 0
    config = images.ablation(config, (
        {"model.mask": ("checkerboard",)},
        {"model.st_net": ("resnet_ae",), "model.latent_dim": (2, 1)},
    ))
    config.ablate.seeds = (0, 1)
    return config
"""
NAMES = [
    "mask=checkerboard",
    "st_net=resnet_ae, latent_dim=2",
    "st_net=resnet_ae, latent_dim=1",
]
# the last row's runs
LAST = "st_net=resnet_ae-latent_dim=1"
FIRST_OF_LAST = "st_net=resnet_ae, latent_dim=1, seed 0"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("configs") / "tiny_ablation.py"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="module")
def done(config_file, tmp_path_factory):
    """An ablation that was run to its end."""
    workdir = tmp_path_factory.mktemp("ablation")
    assert run(["ablate", f"--config={config_file}", f"--workdir={workdir}"]) == 0
    return workdir


def read(workdir):
    return json.loads((workdir / "ablation.json").read_text())


def test_every_row_and_seed_is_an_ordinary_run(done):
    content = read(done)
    assert [row["name"] for row in content["rows"]] == NAMES
    assert content["missing"] == []
    assert content["failed"] == {}
    for row in content["rows"]:
        assert row["seeds"] == [0, 1]
        assert len(set(row["bits_per_dim"]["fashion_mnist"])) == 2  # seeds matter
    for workdir in done.glob("runs/*/seed_*"):
        config = json.loads((workdir / "config.json").read_text())
        assert "ablate" not in config
        assert config["seed"] == int(workdir.name.removeprefix("seed_"))
    assert len(list(done.glob("runs/*/seed_*/results.json"))) == 6
    assert {p.name for p in done.glob("*.png")} == {"ablation.png", "bottleneck.png"}


def test_means_and_spread_are_those_of_the_runs(done):
    row = read(done)["rows"][1]
    files = sorted(done.glob("runs/st_net=resnet_ae-latent_dim=2/seed_*/results.json"))
    areas = [json.loads(f.read_text())["auroc"]["mnist"] for f in files]
    assert row["auroc"]["mnist"] == areas
    assert row["auroc_mean"]["mnist"] == pytest.approx(sum(areas) / 2, rel=1e-15)
    expected = abs(areas[0] - areas[1]) / np.sqrt(2)
    assert row["auroc_std"]["mnist"] == pytest.approx(expected, rel=1e-12)
    table = (done / "ablation.md").read_text()
    assert f"{sum(areas) / 2:.3f} ± {expected:.3f}" in table


def test_what_is_done_is_not_done_again(done, config_file, monkeypatch):
    def no_training(*_):
        raise AssertionError("trained again")

    before = read(done)
    monkeypatch.setattr(ablate, "train", no_training)
    assert run(["ablate", f"--config={config_file}", f"--workdir={done}"]) == 0
    assert read(done) == before


def test_a_lost_result_is_made_again_and_is_the_same(done, config_file):
    before = read(done)
    (done / "runs" / LAST / "seed_1" / "results.json").unlink()
    assert run(["ablate", f"--config={config_file}", f"--workdir={done}"]) == 0
    assert read(done)["rows"][2]["auroc"] == before["rows"][2]["auroc"]


def test_a_damaged_result_is_named_before_anything_is_trained(
    done, config_file, monkeypatch, capsys
):
    monkeypatch.setattr(ablate, "train", None)
    file = done / "runs" / LAST / "seed_1" / "results.json"
    kept = file.read_bytes()
    try:
        for content in (b"", b'{"eval": ', b"[]", b"{}"):
            file.write_bytes(content)
            assert run(["ablate", f"--config={config_file}", f"--workdir={done}"]) == 2
            message = only_error(capsys.readouterr().err)
            assert message.startswith(f"{file} is damaged: ")
            assert message.endswith(f"experiments evaluate --workdir={file.parent}")
    finally:
        file.write_bytes(kept)


def test_results_of_other_sets_are_not_those_asked_for(done):
    where = done / "runs" / LAST / "seed_1"
    config = read_config(where)
    known = read_results(where)["data"]
    others = known | {"mnist": known["mnist"] | {"origin": "other files"}}
    for scored, said, is_done in (
        ("mnist", known, True),
        ("mnist:train", known, False),
        ("mnist", others, False),
    ):
        sets = SimpleNamespace(ood={scored: None}, describe=lambda said=said: said)
        assert ablate._done(config, where, sets) is is_done


def test_a_run_in_use_is_left_to_the_other_process(done, config_file, capsys):
    run_of_another = done / "runs" / LAST / "seed_0"
    kept = (run_of_another / "results.json").read_bytes()
    (run_of_another / "results.json").unlink()
    arguments = ["ablate", f"--config={config_file}", f"--workdir={done}"]
    with locked(run_of_another):
        assert run(arguments) == 0
    assert f"left to it: {FIRST_OF_LAST}" in capsys.readouterr().out
    assert read(done)["missing"] == [FIRST_OF_LAST]
    (run_of_another / "results.json").write_bytes(kept)
    assert run(arguments) == 0
    assert read(done)["missing"] == []


def test_what_another_process_evaluated_meanwhile_stays(
    done, config_file, monkeypatch, capsys
):
    file = done / "runs" / LAST / "seed_0" / "results.json"
    kept, train = file.read_bytes(), ablate.train
    file.unlink()

    def trained_and_overtaken(*args):
        found = train(*args)
        file.write_bytes(kept)
        return found

    monkeypatch.setattr(ablate, "train", trained_and_overtaken)
    monkeypatch.delattr(ablate, "evaluate")  # not called
    assert run(["ablate", f"--config={config_file}", f"--workdir={done}"]) == 0
    assert file.read_bytes() == kept


def test_another_base_is_refused(done, config_file, capsys):
    arguments = ["ablate", f"--config={config_file}", f"--workdir={done}"]
    assert run([*arguments, "--config.train.batch_size=32"]) == 2
    message = only_error(capsys.readouterr().err)
    assert "belongs to another config: train.batch_size (16 there, 32 now)" in message


def test_seeds_from_the_command_line(config_file):
    config = load_config(str(config_file), ["ablate.seeds=5,7"])
    assert [list(cell.configs) for cell in cells(config)] == [[5, 7]] * 3
    config = load_config(str(config_file), ["ablate.seeds=3"])
    assert cells(config)[0].configs[3].seed == 3
    with pytest.raises(UserError, match=r"ablate\.seeds"):
        load_config(str(config_file), ["ablate.seeds=a,b"])


def test_a_run_that_diverges_does_not_stop_the_others(
    done, config_file, tmp_path, monkeypatch, capsys
):
    # all is done but for two runs, of which one diverges
    shutil.copytree(done, tmp_path / "a")
    runs = tmp_path / "a" / "runs"
    shutil.rmtree(runs / LAST / "seed_0")
    (runs / LAST / "seed_1" / "results.json").unlink()
    train = ablate.train

    def diverges(config, workdir, sets, label):
        if config.seed == 0:
            raise NonFiniteLossError(3, "loss is nan")
        return train(config, workdir, sets, label)

    monkeypatch.setattr(ablate, "train", diverges)
    arguments = ["ablate", f"--config={config_file}", f"--workdir={tmp_path / 'a'}"]
    assert run(arguments) == 2
    said = only_error(capsys.readouterr().err)
    assert f"1 of 6 runs diverged: {FIRST_OF_LAST}" in said
    content = read(tmp_path / "a")
    (failed,) = content["failed"].items()
    assert failed[0] == FIRST_OF_LAST
    assert failed[1].startswith("training diverged at step 3 (loss is nan)")
    assert content["missing"] == []
    assert f"Diverged: {FIRST_OF_LAST}." in (tmp_path / "a" / "ablation.md").read_text()
    assert [len(row["seeds"]) for row in content["rows"]] == [2, 2, 1]
    assert content["rows"][2]["auroc_std"]["mnist"] is None


def grid(*grids, seeds=(0,)):
    config = load_config(f"{CONFIGS / 'fashion_mnist_ablation.py'}:smoke")
    with config.unlocked():
        config.ablate.grids, config.ablate.seeds = grids, seeds
    return config


def test_rows_are_all_combinations_each_once():
    masks = {"model.mask": ("checkerboard", "cycle")}
    found = cells(grid({**masks, "model.width": (2, 4)}, masks, {}))
    # the base itself is a checkerboard of width 4
    assert [cell.name for cell in found] == [
        "mask=checkerboard, width=2",
        "mask=checkerboard, width=4",
        "mask=cycle, width=2",
        "mask=cycle, width=4",
    ]
    assert [cell.configs[0].model.width for cell in found] == [2, 4, 2, 4]


def test_every_run_knows_its_own_config_again(tmp_path):
    """Of all flows and seeds: what is kept is complete, and so is what comes again."""
    config = load_config(f"{CONFIGS / 'fashion_mnist_modern.py'}:cpu")
    for cell in cells(config):
        for seed, own in cell.configs.items():
            workdir = tmp_path / cell.folder / str(seed)
            workdir.mkdir(parents=True)
            for _ in range(2):
                keep_config(own, workdir)
            assert flatten(read_config(workdir)) == flatten(own)


def test_flows_with_models_of_their_own_are_rows():
    maf = load_config(f"{CONFIGS / 'fashion_mnist_maf.py'}:smoke")
    flows = (
        {"name": "small", "model": maf.model.to_dict(), "train": {"num_steps": 3}},
        {"name": "paper", "optimizer": {"learning_rate": 0.25}},
    )
    config = grid({"flow": ("small",), "model.layers": (1, 2)}, {"flow": ("paper",)})
    config = images.ablation(config, config.ablate.grids, flows)
    found = cells(config)
    assert [cell.name for cell in found] == [
        *("flow=small, layers=1", "flow=small, layers=2", "flow=paper")
    ]
    first, second, paper = (cell.configs[0] for cell in found)
    assert (first.model.name, first.model.layers, second.model.layers) == ("maf", 1, 2)
    assert (first.train.num_steps, paper.train.num_steps) == (3, config.train.num_steps)
    assert first.optimizer == config.optimizer
    assert paper.optimizer.learning_rate == 0.25
    assert paper.model == config.model
    with pytest.raises(UserError, match=r"no flow is called 'large'; .* small, paper"):
        cells(images.ablation(config, ({"flow": ("large",)},), flows))
    for values, said in {
        ("num_steps", -1): "row 'flow=small': config.train.num_steps",
        ("num_step", 3): "'small' has an unknown key 'train.num_step'",
    }.items():
        wrong = ({"name": "small", "train": dict([values])},)
        with pytest.raises(UserError, match=said):
            cells(images.ablation(config, ({"flow": ("small",)},), wrong))


@pytest.mark.parametrize(
    ("grids", "seeds", "said"),
    [
        (({"model.mak": ("cycle",)},), (0,), "unknown config key 'model.mak'; did you"),
        (({"model.width": ("wide",)},), (0,), "'model.width' takes an int"),
        (({"model.width": 5},), (0,), "'model.width' takes a tuple of values, such as"),
        (({"model.mask": "cycle"},), (0,), "such as ('cycle',), got 'cycle'"),
        (({5: (1,)},), (0,), "unknown config key '5'"),
        (({"seed": (1, 2)},), (0,), "seeds are set by config.ablate.seeds"),
        ((), (0,), "holds no combination"),
        (({},), (), "must be different numbers"),
        (({"data.ood": ("mnist:test",)},), (0,), "'data.ood' cannot be in a grid"),
        (({},), (1, 1), "must be different numbers"),
        (
            ({"eval.batch_size": (8,)}, {"train.batch_size": (8,)}),
            (0,),
            "two rows of config.ablate.grids are called 'batch_size=8'",
        ),
    ],
)
def test_grids_that_say_nothing_sensible_are_refused(grids, seeds, said):
    with pytest.raises(UserError) as caught:
        cells(grid(*grids, seeds=seeds))
    assert said in str(caught.value)


def test_a_row_that_cannot_be_trained_is_refused_before_any_is(tmp_path):
    config = grid({"model.mask": ("checkerboard", "chess")})
    with pytest.raises(UserError, match=r"row 'mask=chess': .*unknown mask strategy"):
        ablate.main(config, tmp_path)
    assert not list(tmp_path.rglob("checkpoints"))


def test_a_grid_is_not_a_run_nor_a_run_a_grid(tmp_path, capsys):
    file = CONFIGS / "fashion_mnist_ablation.py"
    assert run(["train", f"--config={file}:smoke", f"--workdir={tmp_path}"]) == 2
    assert "use the command `ablate`" in only_error(capsys.readouterr().err)
    file = CONFIGS / "demo.py"
    assert run(["ablate", f"--config={file}:smoke", f"--workdir={tmp_path}"]) == 2
    assert "not an ablation" in only_error(capsys.readouterr().err)


def test_series_share_all_but_the_width_of_the_bottleneck():
    def row(width, **settings):
        return {
            "settings": {f"model.{k}": v for k, v in settings.items()},
            "latent_dim": width,
        }

    cycle, wide = {"mask": "cycle"}, {"mask": "cycle", "st_net": "resnet_ae"}
    rows = [
        row(None, **cycle),
        row(100, **wide, latent_dim=100),
        row(10, **wide, latent_dim=10),
        # alone, and so no curve
        row(10, mask="checkerboard", st_net="resnet_ae", latent_dim=10),
    ]
    assert bottleneck_series(rows) == {
        "mask=cycle, st_net=resnet_ae": {10: rows[2], 100: rows[1], None: rows[0]}
    }


DIGITS = {"train.negative": ("mnist:train",), "train.negative_classes": (0, 5)}


def test_data_is_read_anew_where_a_row_has_other_data(monkeypatch):
    monkeypatch.setattr(ablate, "load_sets", lambda _: object())
    sets, rows = ablate._Sets(), cells(grid(DIGITS))
    first, second = (cell.configs[0] for cell in rows)
    found = sets.of(first)
    assert sets.of(first) is found
    assert sets.of(second) is not found
    # images do not depend on the seed, unless they are made from it
    config = cells(grid({}, seeds=(0, 1)))[0].configs
    assert sets.of(config[0]) is sets.of(config[1])
    for c in config.values():
        c.data.source = "synthetic"
    assert sets.of(config[0]) is not sets.of(config[1])
    # mutations do
    for c in config.values():
        c.data.update(source="embedded", mutated=0.1)
    assert sets.of(config[0]) is not sets.of(config[1])
    for c in config.values():
        c.data.update(mutated=0.0)
    # and which are held back does
    for c in config.values():
        c.data.update(source="embedded", validation=8)
    assert sets.of(config[0]) is not sets.of(config[1])


def test_rows_are_trained_to_the_end(config_file, tmp_path, capsys):
    command = ["ablate", f"--config={config_file}", f"--workdir={tmp_path}"]
    assert run([*command, "--config.train.max_seconds=60"]) == 2
    assert "max_seconds is for `train`" in only_error(capsys.readouterr().err)
    with pytest.raises(UserError, match=r"row .*max_seconds is for `train`"):
        ablate.main(grid({"train.max_seconds": (60.0, 90.0)}), tmp_path)
    assert not any(tmp_path.iterdir())
