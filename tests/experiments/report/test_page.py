"""The report's page: published numbers, figures, and other commands' output."""

import json
import re

import pytest

from experiments.report.published import FLOWS, NOT_AVAILABLE
from experiments.report.sections import CAPTIONS
from flowjax_ood.interface.errors import UserError
from tests.helpers.kept_runs import (
    cells,
    described,
    keep,
    keep_ablation,
    keep_seeds,
    picture,
    result_rows,
    results,
    write_report,
)


@pytest.fixture
def three_seeds(tmp_path):
    return keep_seeds(tmp_path)


# --- published numbers ----------------------------------------------------------


def published_of(tmp_path, name="fashion_mnist_glow", overrides=(), **changes) -> str:
    found = results(**changes)
    keep(tmp_path / "run", found, name=name, overrides=overrides)
    _, markdown = write_report(tmp_path, tmp_path / "run")
    return result_rows(markdown)[0]["published"]


def test_the_authors_numbers_stand_beside_the_same_flow_and_pair(tmp_path):
    assert published_of(tmp_path) == "about 0.14 (read off a plot)"
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Glow on FashionMNIST at epoch 80" in text
    assert "FashionMNIST → MNIST: bits/dim 3.1408 and 2.0807" in text


def test_celeba_has_other_names_in_tfds(tmp_path):
    rgb = {"shape": (32, 32, 3), "source": "tfds"}
    data = {
        "train": described("celeb_a", "train", **rgb),
        "test": described("celeb_a", **rgb),
        "svhn_cropped": described("svhn_cropped", **rgb),
    }
    bits = {"celeb_a": 5.0, "svhn_cropped": 3.0}
    changes = {"data": data, "in_distribution": "celeb_a", "ood": "svhn_cropped"}
    changes |= {"bits_per_dim": bits, "bits_per_dim_median": bits}
    found = published_of(tmp_path, "celeba_realnvp", **changes)
    assert found == "about 0.04 (read off a plot)"


def no_images(**changes):
    """`data` of the results, with one thing changed in every set."""
    return {k: v | changes for k, v in results()["data"].items()}


@pytest.mark.parametrize(
    ("name", "overrides", "changes"),
    [
        # another flow
        ("fashion_mnist_realnvp", (), {}),
        ("fashion_mnist_glow", ["model.st_net=glow_convnet"], {}),
        ("fashion_mnist_glow", ["model.scales=1"], {}),
        # other sets, fake ones, other splits, other sizes, or exposed to the other set
        ("fashion_mnist_glow", (), {"ood": "kmnist"}),
        ("fashion_mnist_glow", (), {"data": no_images(source="synthetic")}),
        ("fashion_mnist_glow", (), {"data": no_images(split="train")}),
        ("fashion_mnist_glow", (), {"data": no_images(shape=[8, 8, 1])}),
        (
            "fashion_mnist_glow",
            (),
            {"data": {**results()["data"], "negative": described("mnist", "train")}},
        ),
    ],
)
def test_everything_else_is_not_available(tmp_path, name, overrides, changes):
    assert published_of(tmp_path, name, overrides, **changes) == "not available"


def test_published_numbers_are_those_of_the_specification():
    # section 6.1 of the specification of the paper; nothing else was published to us
    found = {flow.train: (flow.own_bits, flow.ood) for flow in FLOWS}
    assert found == {
        "fashion_mnist": (3.1408, {"mnist": (0.14, 2.0807), "notmnist": (0.8, 4.0647)}),
        "celeba": (5.268, {"svhn": (0.04, 2.675), "cifar10": (0.68, 6.078)}),
    }


# --- the page -------------------------------------------------------------------


def test_the_page_holds_its_pictures_and_says_what_is_inside(tmp_path, three_seeds):
    html, markdown = write_report(tmp_path, *three_seeds)
    assert "<p>3 runs of 1 flow</p>" in html
    assert html.count("data:image/png;base64,") == 1 + 3  # curves, and a picture a run
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", html)
    assert "<script" not in html
    for run_name in ("run0, seed 0.", "run1, seed 1.", "run2, seed 2."):
        assert run_name in html
    for text in (html, markdown):
        assert "3 h 00 min" in text  # of training, all seeds
        assert "1 x Some Device" in text
        assert "0.10.2" in text
        assert "files of mnist:test" in text
    assert (
        "In 1 of 1 cases the other set is more likely than the flow&#x27;s own test "
        "set: FashionMNIST → MNIST 0.130"
    ) in html


def test_flows_on_the_same_images_are_drawn_side_by_side(tmp_path, three_seeds):
    other = keep(tmp_path / "glow", results(0.6), name="fashion_mnist_glow")
    html, markdown = write_report(tmp_path, *three_seeds, other)
    assert "AUROC and bits/dim of 2 flows trained on FashionMNIST" in html
    # curves and pictures of both, and that figure
    assert html.count("data:image/png;base64,") == 4 + 2 + 1
    assert "In 1 of 2 cases" in html
    assert "In 1 of 2 it is not: FashionMNIST → MNIST 0.600 (Glow)" in html
    assert [r["flow"] for r in result_rows(markdown)][1] == "Glow"


def test_more_seeds_than_one_figure_holds_are_in_two(tmp_path):
    runs = [
        keep(tmp_path / f"run{s}", results(), overrides=[f"seed={s}"]) for s in range(5)
    ]
    html, _ = write_report(tmp_path, *runs)
    assert "training curves of 4 runs" in html
    assert "training curves of 1 runs" in html


def test_infinite_means_and_runs_of_one_name(tmp_path):
    bits = {"fashion_mnist": None, "mnist": 2.0}
    found = results(0.2, bits_per_dim=bits)
    for folder in ("a", "b"):
        keep(tmp_path / folder / "run", found, overrides=[f"seed={ord(folder)}"])
    _, markdown = write_report(tmp_path, tmp_path / "a" / "run", tmp_path / "b" / "run")
    (row,) = result_rows(markdown)
    assert row["bits/dim, own"] == "not finite"
    assert row["bits/dim, other"] == "2.00 ± 0.00"
    assert [r["run"] for r in cells(markdown, "run")] == ["a/run", "b/run"]


def test_a_flow_exposed_to_a_set_is_said_to_be(tmp_path):
    data = results()["data"] | {"negative": described("mnist", "train")}
    found = results(0.99, data=data, told=["mnist"])
    keep(tmp_path / "run", found, name="fashion_mnist_negative")
    _, markdown = write_report(tmp_path, tmp_path / "run")
    (row,) = result_rows(markdown)
    assert row["trained on → scored"] == "FashionMNIST → MNIST, exposed"
    assert "exposed to mnist:train" in row["flow"]


def test_vectors_are_in_nats_with_the_detectors_beneath(tmp_path):
    vectors = {"source": "sklearn", "count": 50, "shape": (13,)}
    found = results(0.9, ood="wine1")
    found["data"] = {
        "train": described("wine0", "train", **vectors),
        "test": described("wine0", **vectors),
        "wine1": described("wine1", "all", **vectors),
    }
    del found["bits_per_dim"], found["bits_per_dim_median"]
    nats = {"wine0": -15.0, "wine1": -200.0}
    found |= {"in_distribution": "wine0", "nats_median": nats}
    # one row far out moves the mean, and not what is shown
    found["nats"] = {"wine0": -9e5, "wine1": -200.0}
    area = {"auroc": {"wine1": 0.8}, "auroc_ci95": {"wine1": [0.7, 0.9]}}
    found["baselines"] = {"mahalanobis": area | {"fitted_on": 50}}
    workdir = keep(tmp_path / "run", found, "tabular_sklearn", ["data.train=wine0"])
    records = [{"step": s, "log_pz": -9.0, "logdet": s / 9} for s in (1, 2, 3)]
    (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    html, markdown = write_report(tmp_path, workdir)
    flow, detector = result_rows(markdown)
    assert flow["nats, own"] == "-15.00"
    assert flow["nats, other"] == "-200.00"
    assert flow["setting"] == "no published size"
    assert detector["flow"] == "mahalanobis"
    assert detector["AUROC"] == "0.800 [0.700, 0.900]"
    assert detector["nats, own"] == "–"
    assert detector["setting"] == "fitted on 50 vectors"
    assert flow["published"] == detector["published"] == NOT_AVAILABLE
    assert "bits/dim, own" not in markdown
    assert "training curves of 1 runs" in html


def test_ablations_and_samples_have_their_tables_and_figures(tmp_path):
    ablation = keep_ablation(tmp_path / "ablation")
    samples = tmp_path / "fidelity"
    samples.mkdir()
    content = {"runs": {"a": {}, "b": {}}, "versions": results()["versions"]}
    (samples / "samples.json").write_text(json.dumps(content))
    (samples / "samples.png").write_bytes(picture())
    html, markdown = write_report(tmp_path, ablation, samples)
    assert "1 ablation, 1 figure of samples" in html
    assert html.count("data:image/png;base64,") == 2
    assert "Samples of a, b, from the same noise" in html
    assert "Not done yet: mask=cycle, seed 1." in markdown
    assert "Published: not available." in markdown
    first, second = cells(markdown, "flow")
    assert first["AUROC, mnist"] == "0.200 ± 0.141"
    assert second["AUROC, mnist"] == "0.600"
    assert first["images seen"] == "64,000"
    assert "* training, without compilation: 3 min" in markdown


def test_an_inspection_has_a_table_and_its_figures(tmp_path, three_seeds):
    folder = three_seeds[0] / "inspect"
    folder.mkdir()
    terms = ("log_prob", "log_pz", "logdet")
    values = {f"{t}_bits_median": 1.25 for t in terms}
    areas = {"mnist": {t: {"value": 0.375} for t in terms}}
    sets = {"fashion_mnist": values, "mnist": values}
    content = {"likelihood_terms": {"evaluation": {"sets": sets, "auroc": areas}}}
    (folder / "inspect.json").write_text(json.dumps(content))
    for name in ("latents", "couplings_1", "couplings_2", "depth"):
        (folder / f"{name}.png").write_bytes(picture())
    html, _ = write_report(tmp_path, three_seeds[0])
    assert html.count(CAPTIONS["couplings"]) == 2
    assert html.count(CAPTIONS["latents"]) == 1
    assert html.count('<td class="r">0.375</td>') == 3
    (folder / "inspect.json").write_text("{}")
    with pytest.raises(UserError, match=r"json .* it lacks likelihood_terms; make"):
        write_report(tmp_path, three_seeds[0])
