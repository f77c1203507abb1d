"""`federated`: stopped and resumed, its rows are those of whole federations."""

import json
import re
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.core.pixel_gaussian import NAME as PIXELS
from experiments.core.systems import images
from experiments.federated import command as federated
from experiments.federated import measures
from experiments.federated.training import (
    ALONE,
    FOSTER,
    ONE_HEAD,
    ORACLE,
    PLAIN,
    ROWS,
    TAILS,
    Clients,
)
from flowjax_ood import ood
from flowjax_ood.federated import Federation
from tests.helpers.experiment_runs import CONFIGS, only_error, read_results

pytestmark = pytest.mark.thorough

CONFIG = f"{CONFIGS / 'fashion_mnist_federated.py'}:smoke"
ROUNDS, BEGIN, SEEDS = 2, 1, 2


def command(workdir, *options: str) -> int:
    return run(["federated", f"--config={CONFIG}", f"--workdir={workdir}", *options])


@pytest.fixture(scope="module")
def counted():
    """`[total, done at the start, those shown]` of each run of `finished`."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, counted):
    """`(workdir, rounds that were trained)` of a run that was stopped in between."""
    workdir = tmp_path_factory.mktemp("federated")
    rounds, plain = [], Federation.advance

    def advance(self, state, order=None):
        rounds.append((self.settings, int(state.round)))
        if len(rounds) == 4:
            raise KeyboardInterrupt
        return plain(self, state, order)

    @contextmanager
    def progress(label, total, unit, done=0):
        shown = []
        counted.append((total, done, shown))
        yield SimpleNamespace(advance=shown.append)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Federation, "advance", advance)
        patch.setattr(federated, "progress", progress)
        assert command(workdir) == 130
        assert not (workdir / "results.json").exists()
        assert command(workdir) == 0
    return workdir, rounds


@pytest.fixture(scope="module")
def seed():
    """`(clients, test set, others)` of the first seed, apart from the command."""
    config = load_config(CONFIG, (), Kind.CLIENTS)
    data = config.data
    train, test = images(config, data.train, 400), images(config, data.test, 120)
    others = {"mnist": images(config, "mnist:test", 120).images}
    return Clients.of(config, train, 0), test, others


def test_a_round_is_trained_once_and_one_more_where_it_was_stopped(finished):
    _, rounds = finished
    own = ROUNDS - BEGIN
    # alone, one head and local heads are whole; three rows share the first round
    assert len(rounds) == SEEDS * (3 * ROUNDS + 3 * own) + 1
    # stopped in the second round of the second row, which begins again
    assert rounds[3] == rounds[4]
    assert rounds[3][1] == 1


def test_rounds_that_are_kept_are_no_work_that_is_timed(finished, counted):
    total = SEEDS * (3 * ROUNDS + 3 * (ROUNDS - BEGIN))
    first, second = counted
    assert first == (total, 0, [1, 2, 3])
    # of local heads, rounds before outliers are counted once
    assert second == (total, 3, list(range(4, total + 1)))


def test_a_resumed_row_is_that_of_a_whole_federation(finished, seed, tmp_path):
    workdir, _ = finished
    clients, test, others = seed
    whole = clients.trained(ONE_HEAD, tmp_path, lambda: None)
    expected = measures.row_of(whole, test, others)
    found = read_results(workdir)["by_seed"][0][ONE_HEAD]
    assert found["last_round"] == expected["last_round"]
    for a, b in zip(found["clients"], expected["clients"], strict=True):
        assert a["auroc"]["MSP"]["mnist"] == b["auroc"]["MSP"]["mnist"]
        assert a["accuracy"] == b["accuracy"]


def test_measures_are_those_of_each_clients_network(finished, seed):
    """Restated: each client's own network, its images, and a score of the library."""
    workdir, _ = finished
    clients, test, _ = seed
    ticks = []
    by_seed = read_results(workdir)["by_seed"][0]
    for row in (ALONE, PLAIN):
        # all of its rounds are kept: none is trained
        again = clients.trained(row, workdir / "rounds", lambda: ticks.append(1))
        for client in (0, 3):
            network = again.network(client)
            own = np.unique(clients.train.labels[clients.parts[client]])
            inside = np.isin(test.labels, own)
            found = by_seed[row]["clients"][client]
            assert found["classes"] == own.tolist()
            right = own[network.collect(test.images).logits.argmax(1)] == test.labels
            assert found["accuracy"] == pytest.approx(right[inside].mean())
            for name, detector in (("MSP", ood.MSP()), ("energy", ood.Energy())):
                scores = detector.fit(network, ood.Given()).score(test.images)
                area = ood.auroc(scores[inside], scores[~inside]).value
                near = found["auroc"][name][measures.NEAR]
                assert near == pytest.approx(area, abs=2e-3)
    assert not ticks


def test_rows_share_the_rounds_before_outliers(finished):
    workdir, _ = finished
    results = read_results(workdir)
    assert [row["name"] for row in results["rows"]] == [*ROWS, PIXELS]
    for of_seed in results["by_seed"]:
        logs = {row: of_seed[row]["last_round"] for row in ROWS}
        with_outliers = [row for row in ROWS if "outlier_loss" in logs[row]]
        assert with_outliers == [TAILS, FOSTER, ORACLE]
        assert "generator_loss" in logs[FOSTER]
        assert "generator_loss" not in logs[ORACLE]
    plain = next(row for row in results["rows"] if row["name"] == PLAIN)
    assert plain["difference"]["MSP"][measures.NEAR]["mean"] == 0


def test_the_files_show_the_numbers(finished):
    workdir, _ = finished
    results = read_results(workdir)
    page = (workdir / "federated.html").read_text()
    table = (workdir / "table.md").read_text()
    for row in results["rows"]:
        near = f"{row['auroc']['MSP'][measures.NEAR]['mean']:.3f}"
        assert near in table
        assert near in page
        if "accuracy" in row and row["name"] != PLAIN:
            found = row["accuracy_difference"]
            gain = f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
            assert f"| {row['name']} | {gain}, {found['gain']} of 8 |" in table
    assert results["verdict"] in page
    assert "http://" not in page
    assert (workdir / "federated.png").read_bytes()[:4] == b"\x89PNG"
    # float32 weights and biases of the last layer
    assert results["bytes_a_round"]["head"] == 4 * (128 + 1) * 10


# --- means, intervals and what may be claimed -----------------------------------------


def made(gains: list[list[float]]) -> list[dict]:
    """Seeds whose generated rows have AUROC 0.6 and a gain, by client."""

    def clients(values):
        areas = [{measures.NEAR: v} for v in values]
        return {
            "clients": [
                {"accuracy": 0.9, "auroc": dict.fromkeys(measures.SCORES, a)}
                for a in areas
            ]
        }

    return [
        {
            PLAIN: clients([0.6] * len(of_seed)),
            FOSTER: clients([0.6 + gain for gain in of_seed]),
        }
        for of_seed in gains
    ]


def test_differences_are_paired_by_client_and_intervals_are_over_seeds():
    gains = [[0.02, 0.04], [-0.01, 0.03], [0.0, 0.02]]
    _, row = measures.summary(made(gains))
    found = row["difference"]["MSP"][measures.NEAR]
    of_seeds = np.mean(gains, axis=1)
    assert found["mean"] == pytest.approx(np.mean(gains))
    # Student's 97.5 % quantile at 2 degrees of freedom
    reach = 4.302653 * of_seeds.std(ddof=1) / np.sqrt(3)
    assert found["high"] - found["mean"] == pytest.approx(reach, rel=1e-5)
    np.testing.assert_allclose(found["by_client"], gains, atol=1e-12)
    assert (found["gain"], found["clients"]) == (4, 6)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([[0.02, 0.03], [0.03, 0.02], [0.02, 0.02]], "a gain"),
        ([[-0.02, -0.03], [-0.03, -0.02], [-0.02, -0.02]], "a loss"),
        ([[0.05, 0.05], [-0.02, -0.02], [0.0, 0.01]], "no gain"),
        ([[0.05, 0.05]], "one seed"),
    ],
)
def test_what_may_be_claimed_follows_from_the_interval(gains, said):
    assert measures.verdict(measures.summary(made(gains))).startswith(said)


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["clients.classes=11"], "config.clients: .* is 11, and there are 10 classes"),
        (["clients.count=2"], r"2 clients of 3 classes leave out class \d"),
        (["clients.count=2", "clients.classes=10"], "client 0 has all 10 classes"),
        (["clients.batch_size=200"], r"client 0 has \d+ examples, fewer than a batch"),
        (["clients.kind=entropy"], "unknown 'entropy'; known: uniform, energy"),
        (["clients.round=3"], "unknown config key .*clients.round.*rounds"),
        (["clients.weight=-1"], "clients.weight must be at least 0"),
        (["clients.begin=2"], "begin in round 2, .* there are 2 rounds: set begin to"),
        (["data.train=emoji:things"], "emoji:things has no labels: name a set that"),
        (["data.test=emoji:people"], "emoji:people has no labels: name a set that"),
        (
            ["data.image_size=0"],
            r"of \(32, 32, 1\), fashion_mnist:train of \(28, 28, 1",
        ),
        (["data.limit_test=4"], r"fashion_mnist:test has no image of class \d, which"),
    ],
)
def test_what_cannot_be_trained_is_refused(options, said, tmp_path, capsys):
    given = [f"--config.{option}" for option in options]
    assert command(tmp_path / "run", *given) == 2
    assert re.search(said, only_error(capsys.readouterr().err))
    assert not (tmp_path / "run" / "rounds").exists()


def test_a_run_goes_on_with_its_own_images_alone(finished, tmp_path, capsys):
    workdir, _ = finished
    data = json.loads((workdir / "data.json").read_text())
    (tmp_path / "config.json").write_bytes((workdir / "config.json").read_bytes())
    names = ("labels", "test images", "test labels", "set 'mnist'")
    for name in names:
        changed = data | {name: data[name] | {"sha256": "0" * 64}}
        (tmp_path / "data.json").write_text(json.dumps(changed))
        assert command(tmp_path) == 2
        said = only_error(capsys.readouterr().err)
        assert f"the {name} of {tmp_path} were others" in said
    (tmp_path / "data.json").write_text(json.dumps(data | {"sha256": "0" * 64}))
    assert command(tmp_path) == 2
    assert "the training images are not those" in only_error(capsys.readouterr().err)
    assert {*names} < {*data}
    assert not (tmp_path / "rounds").exists()


def test_a_config_of_another_command_is_refused(tmp_path, capsys):
    config = CONFIGS / "mnist_glow.py"
    assert run(["federated", f"--config={config}", f"--workdir={tmp_path}"]) == 2
    assert "no section 'clients'" in only_error(capsys.readouterr().err)


def test_results_are_json(finished):
    workdir, _ = finished
    stages = sorted((workdir / "stages").glob("*.json"))
    assert len(stages) == SEEDS * (len(ROWS) + 1)
    assert all(json.loads(stage.read_bytes()) for stage in stages)
