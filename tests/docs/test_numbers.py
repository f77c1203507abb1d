"""Every number in a marked table is in its results."""

import re

import pytest

from tests.docs.manual import NAMES, ROOT, check, read, results, shows
from tests.docs.score_tables import (
    class_left_out,
    generations,
    scores,
    several_passes,
)
from tests.docs.speed_tables import (
    compiled_step,
    convolution,
    depth,
    expectation,
    input_pipeline,
    peers,
    peers_detectors,
    pytorch,
    step_profile,
    weak_scaling,
    winograd,
)

MARKER = re.compile(r"^<!--((?:\s*results/\S+?\.json)+)\s*-->$", re.M)


def marked_tables(text: str) -> list[tuple[tuple[str, ...], list[list[str]]]]:
    """`(names of results, rows of cells)` of each table that follows a marker."""
    tables = []
    for marker in MARKER.finditer(text):
        rows = []
        for line in text[marker.end() :].lstrip().splitlines():
            if not line.startswith("|"):
                break
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        names = re.findall(r"results/(\S+?)\.json", marker[1])
        tables.append((tuple(names), rows[2:]))
    return tables


# --- what each table shows: the numbers of its rows, after their labels ---------------


IN_README = (
    *("log p(x)", "typicality", "flow, all statistics"),
    *("flow and pixels, all statistics", "pixels, all statistics"),
)


def demo(rows, results):
    measured = {row["score"]: row for row in results["remedies"]["rows"]}
    # all of them, or the README's
    names = [name.removesuffix(" *") for name, *_ in rows]
    assert names in (list(measured), [n for n in measured if n in IN_README])
    for name, *_ in rows:
        row = measured[name.removesuffix(" *")]
        assert row["control"] == name.endswith(" *")
        kinds = ("digits", "glyphs", "emoji", "upside_down", "noisy")
        areas = [row["auroc"][kind] for kind in kinds]
        yield [*areas, row["mean"], row["worst"]["auroc"]]


def ablation(rows, results):
    for row in results["rows"]:
        mean, std = row["bits_per_dim_mean"], row["bits_per_dim_std"]
        yield [
            row["params"][0],
            *(s[name] for name in ("fashion_mnist", "mnist") for s in (mean, std)),
            row["auroc_mean"]["mnist"],
            row["auroc_std"]["mnist"],
        ]


def horizontal(rows, results):
    sets = results["coadaptation"]["sets"]
    shown = [
        "untouched",
        "half_swapped",
        "code_swapped",
        "content_swapped",
        "unwritten",
    ]
    for what in shown:
        # of coupling 2, with what is hidden in the image itself
        found = [sets[name][what][1]["own"] for name in ("fashion_mnist", "mnist")]
        yield [coupling["correlation_within"] for coupling in found]


def embeddings(rows, *both):
    summaries = [results["summary"] for results in both]
    kinds = ["mahalanobis", "mahalanobis_classes"]
    kinds += ["nearest_neighbors", "nearest_neighbors_unit"]
    for kind in (None, *kinds):
        found = [s["baselines"][kind] if kind else s["auroc"] for s in summaries]
        yield [f["mnist"][key] for f in found for key in ("mean", "std")]


def detectors(rows, results):
    protocols = {"real outliers": "repository", "made outliers": "leak_free"}
    table = (ROOT / "results" / "detect_fashion_mnist.md").read_text()
    for name, chosen, *_ in rows:
        protocol = protocols.get(chosen, "none")
        row = detector_row(results, name, protocol)
        std, numbers = row.get("auroc_std") or {}, []
        for other in ("mnist", "glyphs"):
            if other in row["auroc_mean"]:
                numbers += [row["auroc_mean"][other], *filter(None, [std.get(other)])]
        # published: AUROC/AUPRC/FPR80, in the last cell of the whole table
        label = f"| {name} | {chosen} |"
        # the first table is of digits
        line = next(x for x in table.splitlines() if x.startswith(label))
        published = re.findall(r"([\d.]+)/[\d.]+/[\d.]+", line.split("|")[-2])
        # each once: that of the slides, and that of the code where it differs
        yield numbers + list(map(float, dict.fromkeys(published)))


def detect_flows(rows, results):
    for name, *_ in rows:
        row = detector_row(results, name, "none")
        yield [row["auroc_mean"][other] for other in ("mnist", "glyphs")]


def detector_row(results, name, protocol):
    """The one row of a detector that chooses by `protocol`."""
    (row,) = [
        r for r in results["rows"] if (r["name"], r["protocol"]) == (name, protocol)
    ]
    return row


def batch_norm(rows, results):
    for row in (results["running_statistics"], results):
        outliers = row["outlier_fraction"]
        yield [
            *(
                row[key][name]
                for name in ("fashion_mnist", "mnist")
                for key in ("bits_per_dim", "bits_per_dim_median")
            ),
            *(100 * outliers[name] for name in ("fashion_mnist", "mnist")),
            row["auroc"]["mnist"],
            *row["auroc_ci95"]["mnist"],
        ]


def precision(rows, results):
    for name in ("float32", "bfloat16"):
        row = results["precisions"][name]
        yield [
            *(row["bits_per_dim"][key] for key in ("fashion_mnist", "mnist")),
            row["auroc"]["mnist"],
            *row["auroc_ci95"]["mnist"],
            row["log_prob_from_float32_median"],
            row["log_prob_from_float32_max"],
            row["round_trip_error_max"],
        ]


def tabular(rows, *results):
    by_class = {result["in_distribution"]: result["summary"] for result in results}
    for trained, other, *_ in rows:
        summary = by_class[trained.split()[0]]
        kinds = (summary["auroc"], *summary["baselines"].values())
        names = {"all others": "digits_not0"}
        other = names.get(other, other.split()[0])
        yield [kind[other][of] for kind in kinds[:3] for of in ("mean", "std")]


def decide(rows, results):
    """Three tables: by alpha, by detector, and by the images that are accepted."""
    if rows[0][0] == "0.05":
        for size in results["calibration_sizes"]:
            ends = [end for of in size["intervals"].values() for end in of]
            yield [size["least"], size["least_conditional"], *ends]
    elif rows[0][0] in results["abstain"]["sets"]:
        for rates in results["abstain"]["sets"].values():
            yield [rates[key] for key in ("wrong", "accepted", "accepted_and_wrong")]
    else:
        by_name = {row["name"]: row for row in results["rows"]}
        for name, *_ in rows:
            row = by_name[name]
            batches = row["batches"]["mnist"]
            yield [
                row["auroc"]["mnist"],
                *(row["false_alarms"][alpha]["mean"] for alpha in ("0.01", "0.05")),
                row["training"]["false_alarms"]["0.05"],
                row["found"]["mnist"],
                *(batches["marginal"][key] for key in ("power", "fdr")),
                batches["conditional"]["power"],
            ]


def drift(rows, results):
    row = results["rows"][0]
    assert row["name"] == "Mahalanobis (uniform weights)"
    for (label, *_), (monitor, of) in zip(rows, row["monitors"].items(), strict=True):
        assert label == monitor
        changes = [f"mnist, {share}" for share in ("all", "half", "a tenth")]
        changes += ["glyphs, all", "fog 1, all"]
        delays = [of["changes"][name]["median_delay"] for name in changes]
        found = [of["bound"], of["false_alarms"], *delays]
        # nothing promised, and a change that most streams missed
        yield [number for number in found if number is not None]


def novelty(rows, results):
    by_name = {(row["collection"], row["method"]): row for row in results["rows"]}
    methods = ("pixels", "encoder", "both")
    for collection, scored, *_ in rows:
        own = [by_name[collection, method] for method in methods]
        if scored == "unseen normal images":
            rates = [row["false_alarms"] for row in own]
            areas = []
        else:
            kinds = {name.replace("_", " "): name for name in own[0]["kinds"]}
            kinds["letters"] = "glyphs"
            found = [row["kinds"][kinds[scored]] for row in own]
            rates = [kind["found"] for kind in found]
            areas = [kind["auroc"]["mean"] for kind in found]
        shares = [rate["0.01"]["mean"] for rate in rates] + [rates[2]["0.05"]["mean"]]
        yield [*areas, *(100 * share for share in shares)]


def monitor(rows, results):
    """AUROC of a row on every set."""
    for name, *_ in rows:
        yield [of_set["auroc"] for of_set in results["rows"][name].values()]


def steal(rows, results):
    """Accuracy of target and clone in %, means and deviations."""
    attacks = {
        "; ".join(
            [a["name"], a["queries"]]
            + (["labels"] if a["output"] == "label" else [])
            + (["averaged"] if a["averaged"] else [])
        ): a
        for a in results["attacks"]
    }
    for name, *_ in rows:
        both = (attacks[name][what] for what in ("target", "clone"))
        yield [100 * n for m in both for n in (m["mean"], m["std"])]


def federated(rows, results):
    """Accuracy in %, and AUROC by two scores on other clients' classes."""
    measured = {row["name"]: row for row in results["rows"]}
    for name, *_ in rows:
        row = measured[name]
        scores = (row["auroc"][s]["other clients' classes"] for s in ("MSP", "energy"))
        yield [100 * row["accuracy"]["mean"], *(s["mean"] for s in scores)]


# `results: (columns of labels, the numbers of its rows)`
TABLES = {
    "demo": (1, demo),
    "ablation_cpu": (2, ablation),
    "inspect_horizontal_cpu": (1, horizontal),
    "embeddings_fashion_mnist": (1, embeddings),
    "detect_fashion_mnist": (3, detectors),
    "detect_flows": (2, detect_flows),
    "decide_fashion_mnist": (1, decide),
    "drift_fashion_mnist": (1, drift),
    "tabular_breast_cancer0": (2, tabular),
    "novelty": (2, novelty),
    "scores_realnvp": (1, scores),
    "scores_realnvp_short": (1, scores),
    "scores_seeds": (1, scores),
    "scores_passes": (1, several_passes),
    "modern": (1, generations),
    "scores_emoji_realnvp": (1, scores),
    "scores_without_3": (1, class_left_out),
    "monitor": (1, monitor),
    "federated": (1, federated),
    "steal": (1, steal),
    "batchnorm_cpu": (1, batch_norm),
    "input_pipeline": (1, input_pipeline),
    "pytorch_cpu": (1, pytorch),
    "peers_cpu": (1, peers),
    "peers_detectors_cpu": (1, peers_detectors),
    "depth": (1, depth),
    "scan_winograd": (1, winograd),
    "convolution_cpu": (1, convolution),
    "weak_scaling": (1, weak_scaling),
    "compiled_step": (1, compiled_step),
    "profile_paper": (1, step_profile),
    "expectation": (2, expectation),
    "precision_glow_cpu": (1, precision),
}


def check_table(names: tuple[str, ...], rows: list[list[str]]) -> None:
    """Every number of a table, after the labels of its rows."""
    labels, numbers = TABLES[names[0]]
    expected = list(numbers(rows, *map(results, names)))
    assert len(rows) == len(expected), "a row for each of the results"
    for row, values in zip(rows, expected):
        check(" | ".join(row[labels:]), values)


QUICKSTART = ("docs/quickstart.md", "demo")
MARKED = [(n, *table) for n in NAMES for table in marked_tables(read(n))]


@pytest.mark.parametrize(
    ("names", "rows"),
    [(names, rows) for _, names, rows in MARKED],
    ids=[f"{page}-{names[0]}" for page, names, _ in MARKED],
)
def test_a_table_shows_its_results(names, rows):
    check_table(names, rows)


def test_the_quickstart_has_all_scores_of_the_demo():
    ((rows),) = [t for page, names, t in MARKED if (page, names[0]) == QUICKSTART]
    assert len(rows) == len(results("demo")["remedies"]["rows"])


def test_every_table_known_here_is_in_the_manual():
    assert {names[0] for _, names, _ in MARKED} == set(TABLES)
    assert ("README.md", "demo") in [(page, names[0]) for page, names, _ in MARKED]


# --- the check itself -----------------------------------------------------------------

TABLE = """text 0.999
<!-- results/pytorch_cpu.json -->
| task | PyTorch, images/s | this library | ratio [range] |
|---|---|---|---|
| likelihood | 19.4 | 28.3 | 1.44 [1.37, 1.62] |
| training step 9 | 6.3 | 6.4 | **0.99** [0.93, 1.11] |

after 0.998
"""


def test_the_check_reads_the_right_cells():
    ((names, rows),) = marked_tables(TABLE)
    assert names == ("pytorch_cpu",)
    check_table(names, rows)


@pytest.mark.parametrize(
    "wrong",
    [
        TABLE.replace("19.4", "19.5"),
        # another number of the results, in the wrong cell
        TABLE.replace("28.3", "19.4"),
        TABLE.replace("[1.37, 1.62]", "[1.37]"),
        TABLE.replace("| likelihood | 19.4 | 28.3 | 1.44 [1.37, 1.62] |\n", ""),
    ],
)
def test_the_check_finds_a_wrong_number(wrong):
    ((names, rows),) = marked_tables(wrong)
    with pytest.raises(AssertionError):
        check_table(names, rows)


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("2,009,254", 2009253.94, True),
        ("7e-6", 7.42e-6, True),
        ("-0.10", -0.101, True),
        ("0.5", 0.56, False),
        ("0.56", 0.5, False),
    ],
)
def test_digits_that_are_shown(text, value, same):
    assert shows(text, value) == same
