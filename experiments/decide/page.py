"""table.md, decisions.html and decisions.png: the numbers of results.json."""

from experiments.decide.measures import ALPHAS, FOUND
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, share

ABOUT = """\
The p-value of an image is the share of calibration scores that are as low as its own.
Of images like those of calibration, p <= alpha is a false alarm with probability alpha,
on average over calibration sets; of one set, the rate lies in the interval. Found: the
share of outliers with p <= 0.05. Batches: of 200 images 20 are outliers, and Benjamini
and Hochberg's procedure rejects so that of those rejected a tenth at most are false
alarms, on average (FDR); power is the share of outliers among them. Conditional
p-values hold for nine of ten calibration sets, at once for all thresholds. Detectors
whose settings were chosen by real outliers are left out: a decision knows none."""
TRAINING = """\
The baseline: a threshold that rejects 1 % or 5 % of the images that the network and the
detector were fitted on. Nothing is promised of it."""
CLASSES = """\
What is promised is the rate over all classes, in the proportions of calibration. A
stream of one class has its own rate."""
CORRUPTED = """\
The share of corrupted images with p <= 0.05. They are not exchangeable with those of
calibration: a detector that sees the corruption rings more often than promised."""
ABSTAIN = """\
A classifier that accepts an image where the score lies above a threshold. Chosen on
calibration images so that accepted and wrong are at most 2 % of all images, which holds
for images like those. For others nothing is promised."""


def figure(results: dict):
    """Draw the content of results.json."""
    rows = results["rows"]
    alarms = {}
    for alpha in ALPHAS:
        of = [r["false_alarms"][f"{alpha:g}"] for r in rows]
        rates = [a["mean"] for a in of]
        alarms[f"calibrated,\n{alpha:.0%}"] = alpha, rates, of[0]["interval_tested"]
    for alpha in ALPHAS if "training" in rows[0] else ():
        rates = [r["training"]["false_alarms"][f"{alpha:g}"] for r in rows]
        alarms[f"by training\nscores, {alpha:.0%}"] = alpha, rates, None
    found = {
        name: [
            (
                r["auroc"][name],
                *(
                    r["batches"][name][how]["power"]
                    for how in ("marginal", "conditional")
                ),
            )
            for r in rows
            if name in r["auroc"]
        ]
        for name in results["outliers"]
    }
    abstain = results["abstain"] or {"sets": {}, "alpha": 0.02}
    return figures.decision_panels(
        alarms,
        found,
        [r["by_class"] for r in rows if "by_class" in r],
        {
            n: (s["accepted"], s["accepted_and_wrong"])
            for n, s in abstain["sets"].items()
        },
        id_name=results["in_distribution"],
        alpha=FOUND,
        allowed=abstain["alpha"],
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    rows, outliers = results["rows"], results["outliers"]
    of = results["detect"]
    page = Document("Decisions", f"{of['run']}, {of['network']}")
    page.text(ABOUT)
    batch = results["batch"]
    page.facts(
        {
            "in-distribution": results["in_distribution"],
            "calibration scores": results["calibrate"],
            "scores tested": results["test"],
            "splits": results["splits"],
            "batches": batch["batches"],
            "detectors": len(rows),
        }
    )
    if picture is not None:
        alt = "false alarms, outliers found, false alarms by class, and abstention"
        page.figure(picture, "All detectors", alt)
    page.section("False alarms")
    headers, lines = ["detector"], []
    for alpha in ALPHAS:
        promised = rows[0]["false_alarms"][f"{alpha:g}"]
        low, high = promised["interval"]
        headers.append(f"at {alpha:g} [{share(low)}, {share(high)}]")
        headers.append("least ... most")
    for row in rows:
        line = [row["name"]]
        for alpha in ALPHAS:
            found = row["false_alarms"][f"{alpha:g}"]
            splits = found["per_split"]
            line += [_percent(found["mean"])]
            line += [f"{_percent(min(splits))} ... {_percent(max(splits))}"]
        lines.append(line)
    page.table(
        headers,
        lines,
        "Mean over splits and its range; in brackets, where 95 % of calibration sets "
        "are promised to have it",
    )
    lines = []
    for alpha, found in results["summary"].items():
        lines.append(
            [
                alpha,
                _percent(found["mean"]),
                f"{_percent(found['least'])} ... {_percent(found['most'])}",
                _percent(found["largest_difference"]),
                f"{found['within_0.002']} of {found['detectors']}",
                share(found["splits_inside"]),
            ]
        )
    page.table(
        [
            *("promised", "mean", "least ... most", "farthest off"),
            *("within 0.2 points", "single splits inside their interval"),
        ],
        lines,
        "All detectors: mean rates over splits",
    )
    for name in outliers:
        page.section(f"Outliers: {name}")
        shown = [r for r in rows if name in r["auroc"]]
        shown.sort(key=lambda r: -r["auroc"][name])
        lines = []
        for row in shown:
            line = [row["name"], decimals(row["auroc"][name])]
            line.append(share(row["found"][name]))
            for how in ("marginal", "conditional"):
                measured = row["batches"][name][how]
                line += [share(measured["power"]), _with_error(measured)]
            lines.append(line)
        page.table(
            [
                *("detector", "AUROC", "found at 0.05", "power", "FDR"),
                *("conditional: power", "FDR"),
            ],
            lines,
            f"Found by p <= 0.05, and in batches at level {batch['level']:g}; FDR with "
            "its standard error over splits",
        )
    if "training" in rows[0]:
        page.section("Thresholds by training scores").text(TRAINING)
        lines = [
            [r["name"], *map(_percent, r["training"]["false_alarms"].values())]
            for r in rows
        ]
        headers = ["detector", *(f"false alarms at {a:.0%}" for a in ALPHAS)]
        page.table(headers, lines, "False alarms on test images")
    if "by_class" in rows[0]:
        page.section("False alarms by class").text(CLASSES)
        count = len(rows[0]["by_class"])
        lines = [[r["name"], *map(_percent, r["by_class"])] for r in rows]
        page.table(
            ["detector", *map(str, range(count))], lines, "At p <= 0.05, by class"
        )
    seen = [r for r in rows if r["corrupted"]]
    if seen:
        page.section("Corrupted images").text(CORRUPTED)
        names = list(seen[0]["corrupted"])
        lines = [
            [r["name"], *(share(r["corrupted"].get(n)) for n in names)] for r in seen
        ]
        page.table(["detector", *names], lines, "Alarms at p <= 0.05")
    if results["abstain"]:
        abstain = results["abstain"]
        page.section(f"Abstention by {abstain['detector']}").text(ABSTAIN)
        lines = [
            [
                name,
                share(s["wrong"]),
                share(s["accepted"]),
                share(s["accepted_and_wrong"]),
                share(
                    s["accepted_and_wrong"] / s["accepted"] if s["accepted"] else None
                ),
            ]
            for name, s in abstain["sets"].items()
        ]
        page.table(
            [
                *("images", "wrong of all", "accepted", "accepted and wrong"),
                "wrong of those accepted",
            ],
            lines,
            f"Allowed: accepted and wrong, {abstain['alpha']:.0%}",
        )
    if results["left_out"]:
        page.section("Left out").facts(results["left_out"])
    return page


def _with_error(measured: dict) -> str:
    fdr, error = measured["fdr"], measured["fdr_standard_error"]
    return share(fdr) if error is None else f"{share(fdr)} ± {share(error)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
