"""Numbers in the text of the page on modern flows are in their results."""

import itertools

import pytest

from tests.docs.manual import at, check, read, results

PAGE = "docs/generations.md"
LIKELIHOOD = "rows/log p(x)"
KEPT = "blocks/kept back/mean"
CONVOLUTIONAL = ("realnvp", "glow", "nsf", "mixture")
# words, results, paths of its numbers
PPCA = "@PPCA 64/kinds"
TEXT = [
    (
        "AUROC 0.97 for them and\n0.81 for clothing upside down",
        "scores_realnvp",
        f"{PPCA}/digits/auroc & {PPCA}/upside_down/auroc",
    ),
    ("dimmed (0.03;", "scores_realnvp", f"{PPCA}/dimmed/auroc"),
    ("digits (AUROC 0.78)", "modern", f"flows/maf/{LIKELIHOOD}/kinds/digits"),
    ("MAF does not: 0.78", "modern", f"flows/maf/{LIKELIHOOD}/kinds/digits"),
    ("and 0.75 on", "modern/maf", "auroc/mnist"),
    (
        "3.76 against 3.72",
        "modern/maf & modern/nsf",
        "bits_per_dim/fashion_mnist",
    ),
    ("its median is 3.65", "modern/maf", "bits_per_dim_median/fashion_mnist"),
    (
        "(median 4.56 bits/dim, mean 2,938)",
        "modern/maf",
        "bits_per_dim_median/mnist & bits_per_dim/mnist",
    ),
    ("MAF does (0.79)", "modern", f"flows/maf/{LIKELIHOOD}/kinds/upside_down"),
    ("Jet (0.59)", "modern", f"flows/jet/{LIKELIHOOD}/kinds/upside_down"),
    ("TarFlow (0.57)", "modern", f"flows/tarflow/{LIKELIHOOD}/kinds/upside_down"),
    (
        "with MAF the mean is 0.90",
        "modern",
        f"flows/maf/rows/flow and pixels, rank-Gauss/{KEPT}",
    ),
    (
        "(0.85 against 0.78",
        "modern",
        f"flows/maf/{LIKELIHOOD}/{KEPT} & "
        f"flows/maf/rows/pixels alone, rank-Gauss/{KEPT}",
    ),
    (
        "a mean of 0.95 over\nthe kinds kept back, and SITN 0.94",
        "modern",
        f"flows/maf/rows/input complexity (webp)/{KEPT} & flows/maf/rows/SITN/{KEPT}",
    ),
    (
        "a mean of 0.78 over",
        "modern",
        f"flows/jet/rows/pixels alone, rank-Gauss/{KEPT}",
    ),
    (
        "dimmed (0.40) or\nsmaller (0.34)",
        "modern",
        f"flows/maf/{LIKELIHOOD}/kinds/dimmed & flows/maf/{LIKELIHOOD}/kinds/smaller",
    ),
]


@pytest.mark.parametrize(("words", "name", "paths"), TEXT)
def test_a_number_on_modern_flows_is_in_its_results(words, name, paths):
    assert words in read(PAGE)
    places = itertools.product(name.split(" & "), paths.split(" & "))
    check(words, [at(results(name), path) for name, path in places])


def test_the_readme_says_the_same():
    maf = results("modern")["flows"]["maf"]["rows"]
    numbers = [
        maf["log p(x)"]["kinds"]["digits"],
        maf["input complexity (webp)"]["blocks"]["kept back"]["mean"],
    ]
    said = read("README.md").partition("**Not every flow fails.**")[2]
    for words, number in zip(("AUROC {}", "a mean of {} over"), numbers, strict=True):
        assert words.format(f"{number:.2f}") in said


def test_what_is_said_of_all_flows_holds():
    text, flows = read(PAGE), results("modern")["flows"]
    others = {name: flow for name, flow in flows.items() if name != "maf"}
    digits = [flow["rows"]["log p(x)"]["kinds"]["digits"] for flow in others.values()]
    assert f"({min(digits):.2f} to {max(digits):.2f})" in text
    turned = [
        flows[name]["rows"]["log p(x)"]["kinds"]["upside_down"]
        for name in CONVOLUTIONAL
    ]
    assert {f"{value:.2f}" for value in turned} == {"0.52", "0.53"}
    both = [
        flow["rows"]["flow and pixels, rank-Gauss"]["blocks"]["kept back"]["mean"]
        for flow in others.values()
    ]
    assert max(both) - min(both) < 0.02
    pixels = at(
        results("modern"),
        f"flows/maf/rows/pixels alone, rank-Gauss/{KEPT}",
    )
    for flow in others.values():
        assert flow["rows"]["log p(x)"]["blocks"]["kept back"]["mean"] < pixels
    # in the order of their densities: the best, and the worst
    assert next(iter(flows)) == "maf"
    assert digits[-1] == max(digits)


def test_bottlenecks_are_those_of_the_ablation():
    rows = {
        row["name"]: row["auroc"]["mnist"] for row in results("ablation_cpu")["rows"]
    }
    bottleneck = "st_net=resnet_ae, latent_dim=100"
    means = [
        sum(found := rows[f"mask={mask}{more}"]) / len(found)
        for mask in ("checkerboard", "cycle")
        for more in ("", f", {bottleneck}")
    ]
    said = read(PAGE).partition("moves AUROC the same way")[2].partition("(")[0]
    check(said, means)


def test_what_digits_gain_and_lose_is_that_of_the_maps():
    said = read(PAGE).partition("**Where it comes from.**")[2]
    runs = results("modern_maps")["runs"]
    found = {
        key: {name: run["mnist"][f"{key}_bits_per_dim"] for name, run in runs.items()}
        for key in ("gained", "lost")
    }
    others = {
        key: [v for name, v in of.items() if name != "maf"] for key, of in found.items()
    }
    for of in others.values():
        assert f"{min(of):.2f} to {max(of):.2f}" in said
    assert f"gain {found['gained']['maf']:.2f} there" in said
    assert f"lose {found['lost']['maf']:.2f}" in said
    assert list(runs) == ["realnvp", "glow", "maf", "tarflow"]
    gained, lost = ([min(of), max(of)] for of in others.values())
    shown = read("README.md").partition("**Where it comes from.**")[2]
    for words in (
        "{:.1f} to {:.1f} bits/dim".format(*gained),
        f"{found['gained']['maf']:.1f} by the autoregressive flow",
        "{:.1f} to {:.1f}, and ".format(*lost) + f"{found['lost']['maf']:.1f}.",
    ):
        assert words in shown
