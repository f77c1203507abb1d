"""Whole runs of `detect`: of stubs, and of the smoke variant of every config."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.detect import command as detect
from experiments.detect import detectors, flow_scores
from experiments.detect import flows as detect_flows
from experiments.detect.scores import COHERENCE, ENSEMBLE
from flowjax_ood import figures, ood
from flowjax_ood.data.corruptions import corrupt
from tests.helpers import detect_stubs as stubs
from tests.helpers.detect_stubs import ID_NAME, OOD_NAMES

# of the stubs: all that are followed along severity, and FSSD by both protocols
ROWS = (*(name for name, _ in detectors.SEVERITY), "FSSD", ENSEMBLE, COHERENCE)
WAYS = (
    *("mean max", "max mean", "msp of mean logits", "max mean logit"),
    "energy of mean logits",
)
PNGS = {"scores.png", "fssd_layers.png"}
TERMS = set(detect_flows.TERMS.values())
# the combination of all statistics needs more validation images than there are
OF_FLOW = {
    f"flow: {name}"
    for name in ("typicality", "SITN", "DoSE (kde)", ood.InputComplexity().name)
}


def read(workdir):
    return json.loads((workdir / "results.json").read_text())


def names(results):
    return {(row["name"], row["protocol"]) for row in results["rows"]}


@pytest.fixture
def stubbed(monkeypatch):
    """`detect.main` of two stub networks; `stubbed(workdir, flows, **detect)`.

    Returns results.json, and what the histograms and the severities were drawn of.
    """
    monkeypatch.setattr(detect, "load_sets", lambda config: stubs.sets())

    def networks(config, workdir, sets, told):
        assert told is None
        place = workdir / "networks"
        return [
            detect.Trained(place / f"seed_{seed}", stubs.network(seed), {}, None)
            for seed in (0, 1)
        ]

    monkeypatch.setattr(detect, "_networks", networks)
    drawn = {}

    def spied(where, name):
        draw = getattr(where, name)

        def draws(given, **facts):
            drawn[name] = given
            return draw(given, **facts)

        monkeypatch.setattr(where, name, draws)

    spied(figures, "score_histograms")
    spied(figures, "plot_auroc_by_severity")

    def main(workdir, flows=(), **options):
        drawn.clear()
        monkeypatch.setattr(detect, "trained_flows", lambda config, sets: flows)
        detect.main(stubs.config(**{"detectors": ROWS} | options), workdir)
        return read(workdir), dict(drawn)

    return main


FOG = {"corrupted": ("fog", "shot_noise"), "severities": (5, 1), "corrupted_images": 9}


@pytest.mark.thorough
def test_two_ood_sets_flows_and_corruptions(stubbed, tmp_path, monkeypatch, capsys):
    results, drawn = stubbed(tmp_path, [stubs.flow()], **FOG)
    stubs.check_table(tmp_path, results, ID_NAME)
    rows = {(row["name"], row["protocol"]): row for row in results["rows"]}
    both = {d.name for d in detectors.chosen(stubs.config(), 1)} & {*ROWS}
    expected = {*detectors.SEVERITY}
    protocols = (detectors.REPOSITORY, detectors.LEAK_FREE)
    expected |= {(name, protocol) for name in both for protocol in protocols}
    expected |= {(f"{ENSEMBLE} ({way})", "none") for way in WAYS}
    expected.add((COHERENCE, "none"))
    assert set(rows) == expected | {(name, "none") for name in TERMS | OF_FLOW}
    together = TERMS | OF_FLOW | {COHERENCE}
    for (name, _), row in rows.items():
        count = 1 if name in together or name.startswith(ENSEMBLE) else 2
        areas = row["auroc_per_network"]
        assert {n: len(a) for n, a in areas.items()} == dict.fromkeys(OOD_NAMES, count)
    means = [list(row["auroc_mean"].values()) for row in results["rows"]]
    assert [np.mean(m) for m in means] == sorted(map(np.mean, means), reverse=True)

    # a panel for each OOD set that FSSD was chosen by, each of its own scores
    panels = drawn["score_histograms"]
    shown = {title: list(sets) for title, sets in panels.items() if "FSSD" in title}
    assert shown == {
        "FSSD (real outliers), grey": [ID_NAME, "grey"],
        "FSSD (real outliers), between": [ID_NAME, "between"],
        "FSSD (made outliers)": [ID_NAME, *OOD_NAMES],
    }
    own = [panels[title][ID_NAME] for title in shown]
    assert (own[0] != own[1]).any()
    fssd = rows["FSSD", detectors.REPOSITORY]
    for title, name in zip(shown, OOD_NAMES):
        first = stubs.kept_scores(tmp_path, fssd, name)[0]
        assert set(first) == {ID_NAME, name}
        np.testing.assert_array_equal(panels[title][ID_NAME], first[ID_NAME])

    # seven detectors and three terms of a flow are more than a figure has colours for
    by_severity = drawn["plot_auroc_by_severity"]
    followed = [name for name, _ in detectors.SEVERITY]
    assert list(by_severity) == [*followed, "flow: log p(x)"]
    assert set(results["auroc_by_severity"]) == {*followed, *TERMS}
    assert results["severities"] == [1, 5]
    assert results["corrupted_images"] == 9
    scores = [s for s in stubs.kept_scores(tmp_path, rows["KNN", "none"], "grey")]
    for kind in FOG["corrupted"]:
        for at, severity in enumerate(results["severities"]):
            areas = [
                np.mean(s[ID_NAME][:, None] > s[f"{kind} {severity}"]) for s in scores
            ]
            found = by_severity["KNN"][kind][at]
            assert found == pytest.approx(np.mean(areas), abs=1e-9)
    for name in (*PNGS, "corruptions.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    text = (tmp_path / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert [text.count(f"### blobs (24) against {n} (24)") for n in OOD_NAMES] == [1, 1]
    assert "ublished" not in text

    # it goes on: all that is in the files is in the results again
    stubs.forbid_detectors(monkeypatch)
    monkeypatch.setattr(detect_flows, "_likelihoods", stubs.never)
    # what was refused would be refused again
    listed = flow_scores.listed
    monkeypatch.setattr(flow_scores, "listed", lambda flow: listed(flow)[:-1])
    assert stubbed(tmp_path, [stubs.flow()], **FOG)[0] == results


def test_corrupted_images_are_those_of_their_name(stubbed, tmp_path):
    results, _ = stubbed(tmp_path, detectors=("MSP",), **FOG)
    (row,) = results["rows"]
    clean = detectors.evaluated(stubs.sets(), stubs.config())[ID_NAME][:9]
    for seed, scores in enumerate(stubs.kept_scores(tmp_path, row, "grey")):
        x = corrupt(clean, "fog", 5, 0)
        p = stubs.network(seed).collect(x).logits
        p = np.exp(p - np.logaddexp.reduce(p, axis=1, keepdims=True)).max(axis=1)
        np.testing.assert_allclose(
            scores["fog 5"], np.log(p / (1 - p)), rtol=1e-3, atol=1e-4
        )


def test_no_figures_of_what_was_not_asked_for(stubbed, tmp_path):
    results, drawn = stubbed(tmp_path, detectors=("Entropy",))
    assert names(results) == {("Entropy", "none")}
    assert drawn == {}
    assert {p.name for p in tmp_path.glob("*.png")} == {"fssd_layers.png"}
    assert not {"severities", "auroc_by_severity"} & set(results)


# --- smoke variants -----------------------------------------------------------------

PERTURBED = {"FSSD", "FSSD (sign steps)", "ODIN (fixed setting)"}
OF_NOISE = {"FSSD (last layer)", "FSSD (uniform weights)"}
DROPOUT = {
    f"MC Dropout ({way})"
    for way in ("mean", "variance", "mean logits", "softmax variance")
}
SMOKE = {
    # with: sets, rows that are there, rows that are not, figures
    "fashion_mnist": (
        ("fashion_mnist", "mnist"),
        PERTURBED | OF_NOISE | DROPOUT | {"Outlier Exposure"},
        set(),
        PNGS | {"corruptions.png"},
    ),
    "cifar10": (
        ("cifar10", "svhn_cropped"),
        PERTURBED | OF_NOISE | {"Outlier Exposure"},
        DROPOUT,
        PNGS | {"corruptions.png"},
    ),
    "genomics": (
        ("genomics", "genomics:test_ood"),
        DROPOUT | {"FSSD (no perturbation)"},
        PERTURBED | OF_NOISE | {"Outlier Exposure"},
        PNGS,
    ),
}
# all rows of images are those of clothing
SOME = (
    *(*PERTURBED, *OF_NOISE, "Outlier Exposure", ENSEMBLE, "ODIN", "Mahalanobis"),
    *("FSSD (no perturbation)", "MSP", "KNN"),
)


def trained(workdir):
    """What training left: checkpoints, and what it measured."""
    room = workdir / "networks"
    files = {n: at for n, at in stubs.kept_files(room).items() if "checkpoints" in n}
    return files | {f: f.read_text() for f in room.rglob("metrics.jsonl")}


def listed(config, negative):
    """The rows of a config; without those that features below 0 are not for."""
    plain, chosen = detectors.plain(config, ("a", "b"), 1), detectors.chosen(config, 1)
    both = detectors.LEAK_FREE, detectors.REPOSITORY
    pairs = [(d, detectors.NONE) for d in plain]
    pairs += [(d, protocol) for d in chosen for protocol in both]
    rows = {
        (d.name, protocol)
        for d, protocol in pairs
        if not (negative and d.requires.not_negative)
        and detectors.wanted(config, d.name)
    }
    # one name is of all ensembles
    others = {ENSEMBLE: [f"{ENSEMBLE} ({way})" for way in WAYS], COHERENCE: [COHERENCE]}
    if config.exposure.source:
        others["Outlier Exposure"] = ["Outlier Exposure"]
    for name, its_rows in others.items():
        if detectors.wanted(config, name):
            rows |= {(row, detectors.NONE) for row in its_rows}
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKE)
def test_a_whole_run_and_one_that_goes_on(name, tmp_path, monkeypatch, capsys):
    (id_name, ood_name), there, absent, figures = SMOKE[name]
    stubs.shorten(monkeypatch)
    config = f"experiments/configs/{name}_detect.py:smoke"
    arguments = ["detect", f"--config={config}", f"--workdir={tmp_path}"]
    some = [f"detect.detectors={','.join(SOME)}"] if name == "cifar10" else []
    arguments += [f"--config.{key}" for key in some]
    assert run(arguments) == 0
    results = read(tmp_path)
    assert set(results["evaluated"]) == {id_name, ood_name}
    found = names(results)
    assert found == listed(load_config(config, some), name == "genomics")
    assert len(results["rows"]) == len(found)
    rows = {row for row, _ in found}
    assert there <= rows
    assert not absent & rows
    # both protocols of those that are chosen
    for row in ("ODIN", "Mahalanobis", "FSSD (no perturbation)"):
        assert {(row, detectors.REPOSITORY), (row, detectors.LEAK_FREE)} <= found
    assert ("Deep Ensembles (mean max)", detectors.NONE) in found
    stubs.check_table(tmp_path, results, id_name)
    alike = [row["auroc_per_network"][ood_name] for row in results["rows"]]
    assert {len(areas) for areas in alike} == {1, 2}
    assert len(results["networks"]) == 2
    assert len(results["exposed"]) == (2 if "Outlier Exposure" in there else 0)
    exposed = [row for row in results["rows"] if row["name"] == "Outlier Exposure"]
    for row in exposed:
        assert row["needs"] == ["made outliers", "more training"]
    for row in results["rows"]:
        perturbs = "gradients" in row["needs"]
        assert not (perturbs and absent >= PERTURBED)
    assert {p.name for p in tmp_path.glob("*.png")} == figures
    assert all((tmp_path / n).stat().st_size > 10_000 for n in figures)
    text = (tmp_path / "table.md").read_text()
    assert f"| {ENSEMBLE} (mean max) | nothing | more training |" in text
    # these are not the published sets
    assert "ublished" not in text

    # again: networks as they are, and scores from their files
    capsys.readouterr()
    networks = trained(tmp_path)
    assert networks
    stubs.forbid_detectors(monkeypatch)
    assert run(arguments) == 0
    again = read(tmp_path)
    assert again["rows"] == results["rows"]
    assert trained(tmp_path) == networks
    # fewer rows, out of the same files
    few = "--config.detect.detectors=MSP,KNN"
    assert run([*arguments, few]) == 0
    expected = [row for row in results["rows"] if row["name"] in ("MSP", "KNN")]
    assert read(tmp_path)["rows"] == expected
