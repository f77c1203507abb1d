"""Numbers in the text of the page on scores are in their results."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.docs.manual import at, check, read, results

PAGES = ("docs/scores.md", "docs/scores_measured.md")


def assert_said(words: str) -> None:
    """The words are on one of the pages."""
    assert any(words in read(page) for page in PAGES)


CLOTHING, DIGITS = "fashion_mnist", "mnist"
# flow and pixels less pixels alone, by rank-Gauss
KEPT = "compared/0/blocks/kept back"
ENDS = ("difference", "ci95/0", "ci95/1")
# words, results, paths of its numbers
TEXT = [
    ("(4.48 and", "clothing_without_3", f"bits_per_dim/{CLOTHING}"),
    ("and 4.40\nbits/dim)", "clothing_without_8", f"bits_per_dim/{CLOTHING}"),
    (
        "have 0.92 on dresses",
        "scores_without_3",
        "@pose contrast of 5-NN of pixels/kinds/class_left_out/auroc",
    ),
    (
        "RealNVP (3.42 bits/dim)",
        "clothing_long_realnvp",
        f"bits_per_dim/{CLOTHING}",
    ),
    (
        "Glow (3.48)",
        "clothing_long_glow",
        f"bits_per_dim/{CLOTHING}",
    ),
    ("0.055 and", "clothing_long_realnvp", f"auroc/{DIGITS}"),
    ("and 0.072.", "clothing_long_glow", f"auroc/{DIGITS}"),
    (
        "(by 0.25), pixelation (0.30), holes\n  (0.27) and snow (0.38)",
        "scores_realnvp",
        " & ".join(
            f"compared/0/kinds/{kind}/difference"
            for kind in ("jpeg", "pixelated", "cutout", "snow")
        ),
    ),
    (
        "has 0.86 and 0.56: it",
        "scores_realnvp",
        "@flow and pixels, rank-Gauss/blocks/kept back/mean & "
        "@flow and pixels, rank-Gauss/blocks/kept back/worst/auroc",
    ),
    ("(4.08\nbits/dim)", "clothing_medium_realnvp", f"bits_per_dim/{CLOTHING}"),
    (
        "(0.79 and 0.70 where that has 0.85 and 0.75)",
        "scores_passes",
        " & ".join(
            f"@{score}/blocks/{block}/mean"
            for score in ("Rao score and typicality", "flow alone, rank-Gauss")
            for block in ("seen", "kept back")
        ),
    ),
    ("pixels take 82 times", "scores_passes", "@input gradients/cost_in_passes"),
    (
        "(5.09\nbits/dim, digits' AUROC 0.090)",
        "clothing_short_realnvp",
        f"bits_per_dim/{CLOTHING} & auroc/{DIGITS}",
    ),
    (
        "(0.75 to",
        "scores_realnvp_short",
        "@input complexity (webp)/blocks/seen/mean",
    ),
    ("and 0.71 to", "scores_realnvp_short", "@SITN/blocks/seen/mean"),
    (
        "to 0.87, and",
        "scores_realnvp",
        "@input complexity (webp)/blocks/seen/mean",
    ),
    ("to 0.79, on", "scores_realnvp", "@SITN/blocks/seen/mean"),
    (
        "by 0.064 [0.056, 0.072].",
        "scores_realnvp",
        "compared/0/blocks/kept back/difference & "
        "compared/0/blocks/kept back/ci95/0 & compared/0/blocks/kept back/ci95/1",
    ),
    (
        '`NeighbourDistance("pixels")` has 0.80',
        "scores_realnvp",
        "@5-NN of pixels/kinds/upside_down/auroc",
    ),
    (
        "components 0.99,",
        "scores_realnvp",
        "@pose contrast of Q 64 of pixels/kinds/upside_down/auroc",
    ),
    ("(5.12\nbits/dim)", "emoji_realnvp", "bits_per_dim/emoji"),
    ("(4.40).", "emoji_glow", "bits_per_dim/emoji"),
    (
        "(AUROC 0.247 and",
        "emoji_realnvp",
        "auroc/emoji:hands",
    ),
    ("and 0.205), and", "emoji_glow", "auroc/emoji:hands"),
    ("chance (0.476", "emoji_realnvp", "auroc/emoji:things"),
    ("and 0.506):", "emoji_glow", "auroc/emoji:things"),
    *(
        (words, f"scores_emoji_{flow}", key)
        for words, flow, key in (
            (
                "has 0.83 (png",
                "glow",
                "@input complexity (png), two-sided/blocks/kept back/mean",
            ),
            (
                "pixels has 0.72",
                "glow",
                "@flow and pixels, rank-Gauss/blocks/kept back/mean",
            ),
            (
                "53 % (RealNVP)",
                "realnvp",
                "@flow and pixels, rank-Gauss/false_alarms%",
            ),
            ("48 % (Glow)", "glow", "@flow and pixels, rank-Gauss/false_alarms%"),
            (
                "the RealNVP 0.116 [0.098, 0.134]",
                "realnvp",
                " & ".join(f"{KEPT}/{of}" for of in ENDS),
            ),
            (
                "the Glow 0.002 [-0.020, 0.024]",
                "glow",
                " & ".join(f"{KEPT}/{of}" for of in ENDS),
            ),
            ("alone 22 %", "glow", "@pixels alone, rank-Gauss/false_alarms%"),
            ("log p(x) 19 %", "realnvp", "@log p(x)/false_alarms%"),
            ("11 %. p-values", "glow", "@log p(x)/false_alarms%"),
            ("calls 37 %", "realnvp", "@typicality/alarms/0.05/rate%"),
            ("and 28 %", "glow", "@typicality/alarms/0.05/rate%"),
            (
                "now 0.84",
                "realnvp",
                "@flow and pixels, rank-Gauss/blocks/kept back/mean",
            ),
            (
                "and 0.72, and",
                "glow",
                "@flow and pixels, rank-Gauss/blocks/kept back/mean",
            ),
            ("now 0.70", "glow", "@Q 128 of pixels/blocks/kept back/mean"),
        )
    ),
]

MUTATED, PHOTOGRAPHS = (f"background ratio ({of})" for of in ("mutated", "photographs"))
# words, score, kinds
OF_SEEDS = [
    (
        "has 0.99 on\n  digits, the set it became known for, 0.02 on blurred clothing "
        "and 0.00 on bright",
        MUTATED,
        ("digits", "blurred", "bright"),
    ),
    (
        "0.24 on digits, 1.00 on blurred clothing",
        PHOTOGRAPHS,
        ("digits", "blurred"),
    ),
    ("finds digits (0.93)", "WAIC", ("digits",)),
    ("does not (0.09),", "log p(x)", ("digits",)),
    ("loses noise (0.29", "WAIC", ("noisy",)),
    ("log p(x) has 1.00)", "log p(x)", ("noisy",)),
]


@pytest.mark.parametrize(("words", "score", "kinds"), OF_SEEDS)
def test_numbers_of_three_seeds(words, score, kinds):
    assert_said(words)
    paths = [f"@{score}/kinds/{kind}/auroc" for kind in kinds]
    check(words, [at(results("scores_seeds"), path) for path in paths])


@pytest.mark.parametrize(
    ("words", "score", "summary"),
    [
        ("deviation of 0.006 in the mean", "flow and pixels, rank-Gauss", np.mean),
        ("between seeds, and 0.03 at most", "flow and pixels, rank-Gauss", np.max),
        ("differs by up to 0.16.", MUTATED, np.max),
    ],
)
def test_deviations_between_seeds(words, score, summary):
    assert_said(words)
    rows = {row["score"]: row for row in results("scores_seeds")["rows"]}
    check(words, [summary([kind["std"] for kind in rows[score]["kinds"].values()])])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("correlation of 0.82;", ("scores_realnvp_short", "scores_realnvp")),
        ("other is 0.96.", ("scores_realnvp", "scores_glow")),
    ],
)
def test_rank_correlations_of_scores(words, names):
    """Of the means on kinds kept back, over the scores of a flow that both have."""
    assert_said(words)
    found = [
        {
            row["score"]: row["blocks"]["kept back"]["mean"]
            for row in results(name)["rows"]
            if not row["control"]
        }
        for name in names
    ]
    both = sorted(found[0].keys() & found[1].keys())
    check(words, [spearmanr(*([f[name] for name in both] for f in found)).statistic])


@pytest.mark.parametrize(("words", "name", "paths"), TEXT)
def test_a_number_on_scores_is_in_its_results(words, name, paths):
    assert_said(words)
    check(words, [at(results(name), path) for path in paths.split(" & ")])


def test_poses_are_compared_on_the_same_kinds():
    content = results("scores_realnvp")
    rows = {row["score"]: row for row in content["rows"]}
    poses = rows["flow and pixels and poses, rank-Gauss"]
    seen = set(content["blocks"]["seen"]) - set(poses["told"])
    assert len(seen) == 13
    found = []
    for score in (
        "flow and pixels, rank-Gauss",
        "flow and pixels and poses, rank-Gauss",
    ):
        areas = [rows[score]["kinds"][kind]["auroc"] for kind in seen]
        found += [sum(areas) / len(areas), min(areas)]
    words = "have 0.95 and 0.80 without poses,\nand 0.95 and 0.81 with them"
    assert_said(words)
    assert [round(n, 2) for n in found] == [0.95, 0.8, 0.95, 0.81]
