"""`steal`: what the table holds, that a run goes on, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.core.pixel_gaussian import NAME as PCA
from experiments.core.pixel_gaussian import pixel_gaussian
from experiments.steal import attacks, command, detection, images
from experiments.steal.attacks import ATTACKS, DIGITS, SIMILAR, UPPER, queries_of
from experiments.steal.page import _attack_name
from experiments.steal.targets import KEYED, MEMBERS, ONE, PERCEPTUAL, TOLD, Trained
from flowjax_ood import ood
from flowjax_ood.data.outliers.images import pseudo_outliers
from flowjax_ood.runtime.progress import progress
from tests.helpers.experiment_runs import CONFIGS, only_error, read_results

pytestmark = pytest.mark.thorough

CONFIG = f"{CONFIGS / 'fashion_mnist_steal.py'}:smoke"


def steal(workdir, *keys):
    overrides = [f"--config.{key}" for key in keys]
    return run(["steal", f"--config={CONFIG}", f"--workdir={workdir}", *overrides])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("steal")
    assert steal(workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def loaded():
    return images.load(load_config(CONFIG, (), Kind.SERVED))


def test_each_side_sees_its_own_images(loaded):
    own = {x.tobytes() for x in loaded.train}
    assert len(loaded.train) + len(loaded.similar) < 200
    assert set(loaded.labels) <= {*range(8), 9}
    assert not {x.tobytes() for x in loaded.similar} & own
    assert len(loaded.similar) == 60
    for name, x in loaded.sets.items():
        assert not {i.tobytes() for i in x} & own, name
    upper = queries_of(next(a for a in ATTACKS if a.queries == UPPER), loaded)
    told = loaded.queries[~loaded.upper(loaded.query_classes)]
    assert len(upper) + len(told) == len(loaded.queries) == 80
    assert set(loaded.query_classes[loaded.upper(loaded.query_classes)]) == {
        *range(5, 10)
    }
    # what members are told of, and what is like a tested set, are apart
    assert not {"blurred", "uniform_noise", "clouds"} & {*images.MADE}
    assert len(loaded.made(0)) == len(loaded.train)
    assert (loaded.made(0) != loaded.made(1)).any()
    # tested images are changed in ways of their own, row by row
    tested = loaded.sets[images.MADE_OF_TEST]
    alike = tested == pseudo_outliers(loaded.test, 0, images.MADE)[0]
    assert alike.all(axis=(1, 2, 3)).mean() < 0.5


def test_sets_beyond_the_first_need_no_labels():
    keys = ["data.ood=mnist:test,emoji:things", "data.channels=1"]
    found = images.load(load_config(CONFIG, keys, Kind.SERVED))
    assert len(found.sets["emoji:things"]) == 60


def test_the_rows_are_those_of_the_table(workdir, loaded):
    results = read_results(workdir)
    found = {
        (a["name"], a["queries"], a["output"], a["averaged"]): a
        for a in results["attacks"]
    }
    assert len(found) == len(results["attacks"]) == len(ATTACKS)
    upper = loaded.upper(loaded.query_classes).sum()
    asked = {DIGITS: 80, SIMILAR: 60, UPPER: upper}
    for (name, queries, _, averaged), a in found.items():
        assert a["asked"] == asked[queries] * (2 if averaged else 1)
        for key in ("target", "clone", "agreement"):
            (value,) = a[key]["per_seed"]
            assert 0 <= value <= 1
            # of so many test images
            count = value * len(loaded.test)
            assert count == pytest.approx(round(count))
        if name == ONE:
            assert a["clone_less_than_one_network"]["mean"] == 0
    # whatever is asked of it, a target is itself
    for target in (ONE, KEYED):
        own = {a["target"]["mean"] for key, a in found.items() if key[0] == target}
        assert len(own) == 1
    assert {name for name, *_ in found} >= {PERCEPTUAL, TOLD}


def test_the_control_has_no_network_and_what_was_told_is_not_tested(workdir, loaded):
    results = read_results(workdir)
    rows = {r["name"]: r["auroc"] for r in results["detection"]}
    scores = pixel_gaussian(loaded.train, loaded.sets)
    for name, area in rows[PCA].items():
        expected = ood.auroc(scores[images.CLOTHING], scores[name]).value
        assert area["mean"] == pytest.approx(expected)
    told = [name for name in rows if name.startswith(MEMBERS[TOLD])]
    assert len(told) == len(detection.DETECTORS)
    for name, areas in rows.items():
        missing = {n for n, a in areas.items() if a is None}
        assert missing == ({images.DIGITS} if name in told else set())
    assert {"fog", images.HELD_OUT, images.MADE_OF_TEST} <= {*rows[PCA]}
    for members, of in results["coherence"].items():
        assert set(of) == {*loaded.sets}
        unknown = {images.DIGITS} if members == MEMBERS[TOLD] else set()
        assert {n for n, m in of.items() if m is None} == unknown
        assert all(0 <= m["mean"] <= 1 for n, m in of.items() if n not in unknown)


def test_members_are_those_that_were_measured(workdir, loaded):
    """Restored, they score as in the table; the plain ones saw no outliers."""
    trained = Trained(load_config(CONFIG, (), Kind.SERVED), loaded, workdir, 0)
    served = trained.served(KEYED)
    members = [np.asarray(n.collect(loaded.test).logits) for n in served.networks]
    p = np.exp(members - np.logaddexp.reduce(members, axis=2, keepdims=True))
    p /= np.linalg.norm(p, axis=2, keepdims=True)
    cosine = (p[0] * p[1]).sum(1).mean()
    found = read_results(workdir)["coherence"][MEMBERS[KEYED]][images.CLOTHING]
    assert found["mean"] == pytest.approx(float(cosine), rel=1e-4)
    assert len({*trained.served(KEYED).member(loaded.test)}) == 2
    # no file has the secret, in whatever form
    secret = trained.secret
    forms = (secret, secret.hex().encode(), repr(secret).encode())
    files = [f.read_bytes() for f in workdir.rglob("*") if f.is_file()]
    assert not any(form in kept for form in forms for kept in files)
    other = Trained(load_config(CONFIG, (), Kind.SERVED), loaded, workdir, 1)
    assert other.secret != trained.secret == Trained(*_of(trained, workdir)).secret


def _of(trained, workdir):
    return trained.config, trained.images, workdir, 0


def test_a_run_that_was_interrupted_goes_on(workdir, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(workdir, tmp_path / "copy")
    stages = sorted((copy / "stages").iterdir(), key=lambda f: f.stat().st_mtime)
    stages[-1].unlink()
    (copy / "results.json").unlink()
    with monkeypatch.context() as patch:

        def stopped(*_):
            raise KeyboardInterrupt

        patch.setattr(attacks, "measure", stopped)
        assert steal(copy) == 130
    assert "run it again" in capsys.readouterr().err
    assert not (copy / "results.json").exists()
    events = []
    with monkeypatch.context() as patch:
        train = Trained.train

        def trained(self):
            train(self)
            events.append("trained")

        def counted(label, total, unit, done=0):
            events.append((total, done))
            return progress(None, total, unit, done)

        patch.setattr(Trained, "train", trained)
        patch.setattr(command, "progress", counted)
        assert steal(copy) == 0
    # neither trainings nor stages that were kept are part of what is timed
    assert events == ["trained", (len(stages), len(stages) - 1)]
    assert read_results(copy) == read_results(workdir)
    # all stages are there: nothing is computed
    monkeypatch.setattr(attacks, "measure", None)
    monkeypatch.setattr(detection, "measure", None)
    assert steal(copy) == 0
    assert read_results(copy) == read_results(workdir)


def test_the_files_show_the_numbers(workdir):
    results = read_results(workdir)
    table, page = ((workdir / f).read_text() for f in ("table.md", "steal.html"))
    lines = [[c.strip() for c in line.split("|")] for line in table.splitlines()]
    for a in results["attacks"]:
        cells = [f"{100 * a[key]['mean']:.1f}" for key in ("target", "clone")]
        cells = [f"{a['asked']}", *cells]
        (row,) = [line for line in lines if line[1:2] == [_attack_name(a)]]
        assert row[2:5] == cells
    for r in results["detection"]:
        areas = ["–" if a is None else f"{a['mean']:.2f}" for a in r["auroc"].values()]
        assert ["", r["name"], *areas, ""] in lines
    for members, of in results["coherence"].items():
        means = ["–" if m is None else f"{m['mean']:.3f}" for m in of.values()]
        assert ["", members, *means, ""] in lines
    assert "no security guarantee" in table
    assert "no security guarantee" in page
    assert (workdir / "steal.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["served.held_out_class=11"], "held_out_class is 11, and of the 200 images"),
        (["served.similar=190"], "which leaves none to train on; set it to less"),
        (
            ["served.hash=fashion_mnist:train", "served.hash_source=embedded"],
            "must be of another set",
        ),
        (["served.corrupted=rain"], "rain"),
        (["served.corrupted=saturate"], "changes colours alone"),
        (["served.queries=mnist:tset"], "tset"),
        (["served.members=1"], "members"),
        (["served.agreement=median"], "median"),
        (["data.image_size=5"], "images of 5 x 5 are too small"),
        (
            ["data.ood=emoji:things"],
            "emoji:things has images of (8, 8, 3), fashion_mnist",
        ),
        (["data.ood=emoji:things", "data.channels=1"], "emoji:things has no labels"),
    ],
)
def test_what_is_refused_before_anything_is_trained(keys, said, tmp_path, capsys):
    assert steal(tmp_path / "new", *keys) == 2
    assert said in only_error(capsys.readouterr().err)
    assert not (tmp_path / "new" / "networks").exists()


def test_a_run_goes_on_with_its_own_images_alone(workdir, tmp_path, capsys):
    copy = shutil.copytree(workdir, tmp_path / "copy")
    file = copy / "data.json"
    data = json.loads(file.read_text())
    for name in ("queries", "classes of queries", "labels of the hash network"):
        changed = data | {name: data[name] | {"sha256": "0" * 64}}
        file.write_text(json.dumps(changed))
        assert steal(copy) == 2
        said = only_error(capsys.readouterr().err)
        assert f"the {name} of {copy} were others" in said
    file.write_text(json.dumps(data | {"sha256": "0" * 64}))
    assert steal(copy) == 2
    assert "the training images are not those" in only_error(capsys.readouterr().err)
    assert run(["steal", f"--config={CONFIGS / 'demo.py'}", f"--workdir={copy}"]) == 2
    assert "no section 'served'" in only_error(capsys.readouterr().err)
