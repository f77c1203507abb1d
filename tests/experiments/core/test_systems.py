"""Configs of systems go to their own command; stages are computed once."""

import signal
import time
from argparse import Namespace

import pytest

from experiments.core.config import load_config
from experiments.core.keys import SYSTEMS, Kind, kind
from experiments.core.systems import images, opened, stage
from experiments.core.workdir import InUseError
from experiments.status.display import page
from experiments.status.files import RunFiles
from experiments.status.record import record
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.terminations import Terminated, terminations
from tests.helpers.experiment_runs import CONFIGS
from tests.helpers.status_runs import printed


@pytest.fixture
def config_file():
    return f"{CONFIGS / 'fashion_mnist_light_field.py'}:smoke"


def test_a_config_of_a_system_is_told_by_its_section():
    for system, (section, command) in SYSTEMS.items():
        assert kind({section: {}}) is system
        assert system.command == command
        assert not system.classifies
    assert Kind.IMAGES.command is None


def test_other_commands_refuse_it_and_its_own_refuses_others(config_file):
    with pytest.raises(UserError, match="use the command `reconstruct`"):
        load_config(config_file)
    with pytest.raises(UserError, match="no section 'scenes', which says what `monit"):
        load_config(config_file, (), Kind.SCENES)
    with pytest.raises(UserError, match="no section 'light_field'"):
        load_config("experiments/configs/mnist_glow.py", (), Kind.LIGHT_FIELD)


def test_values_are_checked(config_file):
    own = Kind.LIGHT_FIELD
    with pytest.raises(UserError, match="limit_test must be at least 0"):
        load_config(config_file, ["data.limit_test=-1"], own)
    with pytest.raises(UserError, match=r"unknown config key .data\.sorce.*source"):
        load_config(config_file, ["data.sorce=idx"], own)
    with pytest.raises(UserError, match="ood holds the test set itself"):
        load_config(config_file, ["data.ood=fashion_mnist:test"], own)
    config = load_config(config_file, ["data.source=nowhere"], own)
    with pytest.raises(UserError, match=r"config.data: .*'nowhere'"):
        images(config, config.data.test)


def test_a_run_keeps_its_config_and_its_stages(config_file, tmp_path):
    args = Namespace(config=config_file, workdir=tmp_path / "run")
    calls = []

    def compute():
        calls.append(1)
        return {"pair": (1, 2)}

    with opened(args, [], Kind.LIGHT_FIELD) as config:
        assert images(config, config.data.test, 5).images.shape == (5, 8, 8, 1)
        kept = [stage(args.workdir, "first", compute) for _ in range(2)]
        (args.workdir / "stages" / ".first.json.tmp").touch()
        found = record(RunFiles(args.workdir), time.time())
        assert (found["stages"], found["state"]) == (1, "running")
        with pytest.raises(InUseError), opened(args, [], Kind.LIGHT_FIELD):
            pass
    assert kept == [{"pair": [1, 2]}] * 2
    assert calls == [1]
    with (
        pytest.raises(UserError, match="belongs to another config: seed"),
        opened(args, ["seed=1"], Kind.LIGHT_FIELD),
    ):
        pass
    found = record(RunFiles(args.workdir), time.time())
    assert (found["stages"], found["state"]) == (1, "stopped")
    assert "1 stage" in printed(page(found))
    assert "0 of" not in printed(page(found))
    (args.workdir / "stages" / "first.json").write_text('{"pair')
    with pytest.raises(UserError, match=r"first\.json.*delete it"):
        stage(args.workdir, "first", compute)


def test_a_signal_is_answered_and_leaves_the_workdir_free(config_file, tmp_path):
    args = Namespace(config=config_file, workdir=tmp_path / "run")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminations(), opened(args, [], Kind.LIGHT_FIELD):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with opened(args, [], Kind.LIGHT_FIELD):
        pass
