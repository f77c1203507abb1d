"""Numbers in the text of the page on modern flows are in their results."""

import pytest

from tests.docs.manual import at, check, read, results

PAGE = "docs/generations.md"
KEPT = "kept back"
LIKELIHOOD, MAP, T2 = (
    "log p(x)",
    "Q 16 of the likelihood map",
    "T2 16 of the likelihood map",
)
BOTH, ALONE = "flow and pixels, rank-Gauss", "flow alone, rank-Gauss"
PIXELS, LEVELS = "pixels alone, rank-Gauss", "Q 16 of levels of squares"
CONVOLUTIONAL = ("realnvp", "glow", "nsf", "mixture")
PPCA = "@PPCA 64/kinds"

FLOWS = results("modern")["flows"]
SIX = [name for name in FLOWS if name != "maf"]
LONG = {row["settings"]["flow"]: row for row in results("modern_ablation")["rows"]}


def mean(name, score, block=KEPT):
    return FLOWS[name]["rows"][score]["blocks"][block]["mean"]


def worst(name, score):
    return FLOWS[name]["rows"][score]["blocks"][KEPT]["worst"]["auroc"]


def kind(name, of):
    return FLOWS[name]["rows"][LIKELIHOOD]["kinds"][of]


def span(values) -> str:
    values = list(values)
    return f"{min(values):.2f} to {max(values):.2f}"


def of_six(score, block=KEPT) -> str:
    return span(mean(name, score, block) for name in SIX)


def of_five(score) -> str:
    """Of those that fail, without the one whose density is the worst."""
    return span(mean(name, score) for name in SIX if name != "jet")


def bits(name, key="bits_per_dim_mean") -> str:
    return f"{LONG[name][key]['fashion_mnist']:.2f}"


def digits(name) -> str:
    area, std = (LONG[name][f"auroc_{of}"]["mnist"] for of in ("mean", "std"))
    return f"{area:.3f} ± {std:.3f}"


def lines(page: str) -> str:
    """A page in one line."""
    return " ".join(read(page).split())


def said() -> list[str]:
    """What the page says, with the numbers of the results."""
    maf, tarflow = FLOWS["maf"]["rows"], "tarflow"
    gains = [mean("jet", T2, b) - mean("jet", LIKELIHOOD, b) for b in ("seen", KEPT)]
    median = "bits_per_dim_median_mean"
    return [
        f"(AUROC {digits('maf')})",
        f"{bits('maf')} against {bits('nsf')} bits/dim",
        f"its median is {bits('maf', median)} against {bits('nsf', median)}",
        f"of {of_five(MAP)} for five flows, whose log p(x) has {of_five(LIKELIHOOD)}. "
        f"For Jet, they are {mean('jet', MAP):.2f} and {mean('jet', LIKELIHOOD):.2f}",
        f"have a mean of {mean('maf', PIXELS):.2f} over the kinds kept back",
        f"Six do ({span(LONG[name]['auroc_mean']['mnist'] for name in SIX)})",
        f"MAF does ({kind('maf', 'upside_down'):.2f})",
        f"Jet ({kind('jet', 'upside_down'):.2f})",
        f"TarFlow ({kind('tarflow', 'upside_down'):.2f})",
        f"ones do not ({span(kind(name, 'upside_down') for name in CONVOLUTIONAL)})",
        f"Six are, {of_six(BOTH)} over the kinds kept",
        f"with MAF the mean is {mean('maf', BOTH):.2f}",
        f"has {mean(tarflow, LIKELIHOOD, 'seen'):.2f} over the kinds seen and "
        f"{mean(tarflow, LIKELIHOOD):.2f} over those kept back",
        f"map {mean(tarflow, T2, 'seen'):.2f} and {mean(tarflow, T2):.2f}, the "
        f"residual Q {mean(tarflow, MAP, 'seen'):.2f} and {mean(tarflow, MAP):.2f}",
        f"({mean('maf', LIKELIHOOD):.2f} against {mean('maf', PIXELS):.2f} over",
        f"dimmed ({kind('maf', 'dimmed'):.2f}) or "
        f"smaller ({kind('maf', 'smaller'):.2f})",
        f"a mean of {mean('maf', 'input complexity (webp)'):.2f} over",
        f"SITN {mean('maf', 'SITN'):.2f}",
        f"it has {of_five(MAP)} with five flows, and {mean('jet', MAP):.2f} with Jet",
        f"together have {of_six(ALONE)}, those of pixels {mean('maf', PIXELS):.2f}, "
        f"both together {of_six(BOTH)}",
        f"{of_six(MAP, 'seen')} against {of_six(BOTH, 'seen')}, and than pixels alone, "
        f"{mean('maf', PIXELS, 'seen'):.2f}",
        f"is worse, {span(worst(n, MAP) for n in SIX)} against "
        f"{span(worst(n, BOTH) for n in SIX)}",
        f"flow and pixels are as good ({mean('maf', BOTH, 'seen'):.2f})",
        "T² of Jet gains {:.2f} and {:.2f} alone".format(*gains),
        f"With MAF it has {maf[MAP]['blocks'][KEPT]['mean']:.2f}",
        f"levels, has {mean('maf', LEVELS):.2f}",
    ]


@pytest.mark.parametrize("words", said())
def test_a_number_on_modern_flows_is_in_its_results(words):
    assert words in lines(PAGE)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (
            "AUROC 0.97 for them and 0.81 for clothing upside down",
            ("digits", "upside_down"),
        ),
        ("dimmed (0.03;", ("dimmed",)),
    ],
)
def test_a_gaussian_of_pixels_is_that_of_the_scores(words, kinds):
    assert words in lines(PAGE)
    found = results("scores_realnvp")
    check(words, [at(found, f"{PPCA}/{name}/auroc") for name in kinds])


def test_the_means_of_digits_are_those_of_the_seeds():
    maf = LONG["maf"]
    median, means = maf["bits_per_dim_median_mean"]["mnist"], maf["bits_per_dim"]
    low, high = min(means["mnist"]), max(means["mnist"])
    words = f"(median {median:.2f} bits/dim, means of {low:,.0f} to {high:,.0f} over"
    assert words in lines(PAGE)


def test_the_readme_says_the_same():
    text = lines("README.md")
    for words in (
        f"AUROC {LONG['maf']['auroc_mean']['mnist']:.2f} by log p(x)",
        f"a mean of {mean('maf', 'input complexity (webp)'):.2f} over",
        f"{of_five(MAP)} over the kinds kept back",
        f"log p(x) has {of_five(LIKELIHOOD)}",
    ):
        assert words in text.partition("**Not every flow fails.**")[2]


def test_what_is_said_of_all_flows_holds():
    # in the order of their densities: the two best, and the two worst
    order = sorted(LONG, key=lambda n: LONG[n]["bits_per_dim_mean"]["fashion_mnist"])
    areas = [LONG[name]["auroc_mean"]["mnist"] for name in order]
    assert set(order[:2]) == {"maf", "nsf"}
    assert order[-2:] == ["tarflow", "jet"]
    six = [area for name, area in zip(order, areas, strict=True) if name != "maf"]
    assert min(six[-2:]) > max(six[:-2])
    assert all(kind(name, "dimmed") < 0.5 for name in FLOWS)
    both = [mean(name, BOTH) for name in SIX]
    assert max(both) - min(both) < 0.03
    for name in SIX:
        assert mean(name, LIKELIHOOD) < mean(name, PIXELS) < mean("maf", LIKELIHOOD)
        assert mean(name, MAP) > mean(name, LIKELIHOOD) + 0.1
    best = max(mean(name, score) for name in FLOWS for score in (BOTH, ALONE))
    assert min(mean("maf", s) for s in ("input complexity (webp)", "SITN")) > best


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
    said = lines(PAGE).partition("moves AUROC the same way")[2].partition("(")[0]
    check(said, means)


def test_what_digits_gain_and_lose_is_that_of_the_maps():
    said = lines(PAGE).partition("## Where it comes from")[2]
    runs = results("modern_maps")["runs"]
    found = {
        key: {name: run["mnist"][f"{key}_bits_per_dim"] for name, run in runs.items()}
        for key in ("gained", "lost")
    }
    others = {
        key: [v for name, v in of.items() if name != "maf"] for key, of in found.items()
    }
    gained, lost = (span(of) for of in others.values())
    for words in (
        f"digit: {gained} bits/dim",
        f"cost {lost}",
        f"gain {found['gained']['maf']:.2f} there",
        f"lose {found['lost']['maf']:.2f}",
    ):
        assert words in said
    assert list(runs) == ["realnvp", "glow", "maf", "tarflow"]
    gained, lost = ([min(of), max(of)] for of in others.values())
    shown = lines("README.md").partition("**Where it comes from.**")[2]
    for words in (
        "{:.1f} to {:.1f} bits/dim".format(*gained),
        f"{found['gained']['maf']:.1f} by the autoregressive flow",
        "{:.1f} to {:.1f}, and ".format(*lost) + f"{found['lost']['maf']:.1f}.",
    ):
        assert words in shown
