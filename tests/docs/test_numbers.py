"""Every number in a marked table, and those listed below in text, is in its results."""

import re

import pytest

from tests.docs.manual import NAMES, ROOT, read, results

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
MARKER = re.compile(r"^<!--((?:\s*results/\S+?\.json)+)\s*-->$", re.M)


def shows(text: str, value: float) -> bool:
    """Whether `text` is `value`, rounded to the digits that are shown."""
    digits = text.replace(",", "")
    if "e" in digits:
        return float(digits) == float(f"{value:.0e}")
    decimals = len(digits.partition(".")[2])
    return f"{value:.{decimals}f}" == digits


def check(text: str, values: list[float]) -> None:
    """The numbers in `text` are `values`, in this order."""
    quoted = NUMBER.findall(text)
    assert len(quoted) == len(values), f"{text}: {values}"
    wrong = [(q, v) for q, v in zip(quoted, values) if not shows(q, v)]
    assert wrong == [], text


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


def demo(rows, results):
    measured = {row["score"]: row for row in results["remedies"]["rows"]}
    assert len(rows) == len(measured)
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
        (row,) = [
            r for r in results["rows"] if (r["name"], r["protocol"]) == (name, protocol)
        ]
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


def input_pipeline(rows, results):
    shown = [("in memory", 0), ("streamed", 0), ("streamed", 2)]
    for held, workers in shown:
        (row,) = [
            r
            for r in results["rows"]
            if (r["held"], r["read_workers"]) == (held, workers)
        ]
        rates = ("input_images_per_second", "input_images_per_core_second", "ratio")
        yield [row[key] for key in rates]


def pytorch(rows, results):
    for key in ("evaluate", "train"):
        row = results[key]
        rates = [row["pytorch_images_per_second"], row["images_per_second"]]
        yield [*rates, row["ratio"], *row["ratio_range"]]


def peers(rows, results):
    libraries = [r["library"] for r in results["rows"] if r["task"] == "affine"]
    for library in libraries:
        key = "examples_per_second" if library == "flowjax_ood" else "ours_over_this"
        yield [
            row[mode][key]
            for task in ("affine", "spline")
            for row in results["rows"]
            if (row["task"], row["library"]) == (task, library)
            for mode in ("train", "log_prob")
        ]


def peers_detectors(rows, results):
    theirs = {r["task"]: r for r in results["rows"] if r["library"] == "pytorch-ood"}
    assert len(rows) == len(theirs)
    for name, *_ in rows:
        row = theirs[name]
        yield [row[mode]["ours_over_this"] for mode in ("fit", "score")]


def depth(rows, results):
    found = {(r["model.couplings"], r["stack"]): r for r in results["rows"]}
    stacks = ("chain", "unroll", "scan", "scan+st", "scan+full", "scan+reversible")
    for stack in stacks:
        row, deeper = found[32, stack], found[64, stack]
        yield [
            row["compile_seconds"],
            row["temporary_mib"],
            deeper["compile_seconds"],
            deeper["temporary_mib"],
            row["step_ms_p50"] / 1e3,
        ]


def winograd(rows, results):
    for stack in ("chain", "scan"):
        yield [
            row["images_per_second"]
            for convolution in ("direct", "winograd")
            for row in results["rows"]
            if (row["stack"], row["model.convolution"]) == (stack, convolution)
        ]


def weak_scaling(rows, results):
    for devices in (1, 2, 4, 8):
        found = [
            row[key]
            for parallel in ("jit", "shard_map")
            for row in results["rows"]
            if (row["parallel"], row["devices"]) == (parallel, devices)
            if row["steps_per_call"] == 1
            for key in ("step_ms", "images_per_second", "all_reduce_ms")
        ]
        yield [number for number in found if number is not None]


def expectation(rows, results):
    for row in results["rows"]:
        yield [
            row["gflop_per_image"],
            row["compute_ms"],
            row["all_reduce_ms"],
            100 * row["all_reduce_share"],
            row["batch_of_equal_times"],
            row["batch_of_equal_times_at_peak"],
            row["images_per_second"],
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


# `results: (columns of labels, the numbers of its rows)`
TABLES = {
    "demo": (1, demo),
    "ablation_cpu": (2, ablation),
    "inspect_horizontal_cpu": (1, horizontal),
    "embeddings_fashion_mnist": (1, embeddings),
    "detect_fashion_mnist": (3, detectors),
    "tabular_breast_cancer0": (2, tabular),
    "batchnorm_cpu": (1, batch_norm),
    "input_pipeline": (1, input_pipeline),
    "pytorch_cpu": (1, pytorch),
    "peers_cpu": (1, peers),
    "peers_detectors_cpu": (1, peers_detectors),
    "depth": (1, depth),
    "scan_winograd": (1, winograd),
    "weak_scaling": (1, weak_scaling),
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


MARKED = [(n, *table) for n in NAMES for table in marked_tables(read(n))]


@pytest.mark.parametrize(
    ("names", "rows"),
    [(names, rows) for _, names, rows in MARKED],
    ids=[f"{page}-{names[0]}" for page, names, _ in MARKED],
)
def test_a_table_shows_its_results(names, rows):
    check_table(names, rows)


def test_every_table_known_here_is_in_the_manual():
    assert {names[0] for _, names, _ in MARKED} == set(TABLES)
    assert ("README.md", "demo") in [(page, names[0]) for page, names, _ in MARKED]


# --- numbers in text: page, words, results, paths of its numbers ---------------------

CLOTHING, DIGITS = "fashion_mnist", "mnist"
TEXT = [
    (
        "README.md",
        "0.079 [0.071, 0.087]",
        "demo",
        "auroc/mnist & auroc_ci95/mnist/0 & auroc_ci95/mnist/1",
    ),
    (
        "docs/paper.md",
        "0.069 [0.062, 0.077], at 5.85 and 4.89",
        "clothing_cpu",
        f"auroc/{DIGITS} & auroc_ci95/{DIGITS}/0 & auroc_ci95/{DIGITS}/1 & "
        f"bits_per_dim/{CLOTHING} & bits_per_dim/{DIGITS}",
    ),
    (
        "docs/paper.md",
        "0.975 [0.970, 0.979]",
        "digits_cpu",
        f"auroc/{CLOTHING} & auroc_ci95/{CLOTHING}/0 & auroc_ci95/{CLOTHING}/1",
    ),
    (
        "docs/paper.md",
        "0.72 on clothing and 0.84 on digits; with other images' latents, by 0.03 and "
        "0.25",
        "inspect_clothing_cpu",
        " & ".join(
            f"latents/mean/evaluation/{name}/{key}"
            for key in ("correlation", "correlation_others")
            for name in (CLOTHING, DIGITS)
        ),
    ),
    (
        "docs/paper.md",
        "AUROC 0.021; log p(z) alone has 0.707",
        "inspect_clothing_cpu",
        f"likelihood_terms/evaluation/auroc/{DIGITS}/logdet/value & "
        f"likelihood_terms/evaluation/auroc/{DIGITS}/log_pz/value",
    ),
    (
        "docs/paper.md",
        "0.96 (first) to 0.69 (last) on clothing, and by 0.97 to 0.72",
        "inspect_checkerboard_cpu",
        " & ".join(
            f"couplings/sets/{name}/{k}/correlation"
            for name in (CLOTHING, DIGITS)
            for k in (0, 7)
        ),
    ),
    (
        "docs/paper.md",
        "(0.975). But",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/batch/auroc/{DIGITS}/log_prob/value",
    ),
    (
        "docs/paper.md",
        "falls to 0.144",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/batch, mixed/auroc/{DIGITS}/log_prob/value",
    ),
    (
        "docs/paper.md",
        "recomputed statistics it is 0.09",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/recomputed/auroc/{DIGITS}/log_prob/value",
    ),
    *(
        ("docs/paper.md", f"{after} |", "negative_cpu", f"auroc/{name}")
        for after, name in (
            ("0.981", f"{CLOTHING} inverted"),
            ("0.382", f"{CLOTHING} dimmed"),
            ("0.515", f"{CLOTHING} upside_down"),
            ("0.999", f"{DIGITS} classes 0-4"),
            ("0.999", f"{DIGITS} classes 5-9"),
        )
    ),
    *(
        ("docs/paper.md", f"| {before} |", "negative_cpu_baseline", path)
        for before, path in (
            ("0.987", f"auroc/{CLOTHING} inverted"),
            ("0.435", f"auroc/{CLOTHING} dimmed"),
            ("0.508", f"auroc/{CLOTHING} upside_down"),
            ("0.067", f"classes_of_mnist/auroc/{DIGITS} classes 0-4"),
            ("0.045", f"classes_of_mnist/auroc/{DIGITS} classes 5-9"),
        )
    ),
    (
        "docs/paper.md",
        "costs 5.92 bits/dim",
        "negative_cpu",
        f"bits_per_dim/{CLOTHING}",
    ),
    (
        "docs/paper.md",
        "instead of 5.22",
        "negative_cpu_baseline",
        f"bits_per_dim/{CLOTHING}",
    ),
    (
        "docs/quickstart.md",
        "by 0.94 on clothing,\nand by 0.92 on digits",
        "demo",
        f"first_coupling/{CLOTHING}/correlation & first_coupling/{DIGITS}/correlation",
    ),
    (
        "docs/quickstart.md",
        "0.09 on clothing and 0.12 on digits",
        "demo",
        f"first_coupling/{CLOTHING}/mean_s & first_coupling/{DIGITS}/mean_s",
    ),
    (
        "docs/configs.md",
        "give 4.606 bits/dim on\nclothing, 3.127 on digits and an AUROC of "
        "0.056 [0.050, 0.063]",
        "glow_cpu",
        f"bits_per_dim/{CLOTHING} & bits_per_dim/{DIGITS} & auroc/{DIGITS} & "
        f"auroc_ci95/{DIGITS}/0 & auroc_ci95/{DIGITS}/1",
    ),
    (
        "docs/configs.md",
        "19,200 images seen, 244 images/s",
        "batchnorm_cpu",
        "images_seen & images_per_second",
    ),
    (
        "docs/performance.md",
        "ratio is 0.96",
        "pytorch_cpu",
        "evaluate/with_direct_convolution_ratio",
    ),
    (
        "docs/performance.md",
        "they lose (0.77)",
        "pytorch_cpu",
        "train/with_winograd_ratio",
    ),
    (
        "docs/data.md",
        "The need, 118 images/s",
        "input_pipeline",
        "rows/0/step_images_per_second",
    ),
    (
        "docs/performance.md",
        "FashionMNIST: 2,540 images/s",
        "expectation",
        "rows/0/images_per_second_per_host",
    ),
    (
        "docs/performance.md",
        "to 37,205 (",
        "expectation",
        "rows/2/images_per_second_per_host",
    ),
    (
        "docs/performance.md",
        "is 0.5 to 7.5 cores",
        "expectation",
        "rows/0/cores_streamed & rows/2/cores_streamed",
    ),
    (
        "docs/performance.md",
        "168, 1,006\nand 1,594 MiB",
        "expectation",
        "rows/0/state_mib & rows/3/state_mib & rows/6/state_mib",
    ),
    (
        "docs/performance.md",
        "4,933\nimages/s streamed and 2,649,452 in memory",
        "input_pipeline",
        "rows/3/input_images_per_core_second & rows/0/input_images_per_core_second",
    ),
]


def at(results, path: str) -> float:
    """The number at `a/b/0` of a JSON value."""
    for step in path.split("/"):
        results = results[int(step) if isinstance(results, list) else step]
    return results


@pytest.mark.parametrize(("page", "words", "name", "paths"), TEXT)
def test_a_number_in_text_is_in_its_results(page, words, name, paths):
    assert words in read(page)
    check(words, [at(results(name), path) for path in paths.split(" & ")])


# --- the check itself -----------------------------------------------------------------

TABLE = """text 0.999
<!-- results/pytorch_cpu.json -->
| task | PyTorch, images/s | this library | ratio [range] |
|---|---|---|---|
| likelihood | 25.2 | 38.7 | 1.52 [1.40, 1.62] |
| training step 9 | 7.6 | 6.6 | **0.87** [0.84, 0.89] |

after 0.998
"""


def test_the_check_reads_the_right_cells():
    ((names, rows),) = marked_tables(TABLE)
    assert names == ("pytorch_cpu",)
    check_table(names, rows)


@pytest.mark.parametrize(
    "wrong",
    [
        TABLE.replace("25.2", "25.3"),
        # another number of the results, in the wrong cell
        TABLE.replace("38.7", "25.2"),
        TABLE.replace("[1.40, 1.62]", "[1.40]"),
        TABLE.replace("| likelihood | 25.2 | 38.7 | 1.52 [1.40, 1.62] |\n", ""),
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
