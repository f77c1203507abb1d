"""table.md, decisions.html and decisions.png: the numbers of results.json."""

from experiments.decide import measures
from experiments.decide.abstention import ALPHA
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
SIZES = """\
Fewer scores than those give no p-value as small as alpha: nothing is ever rejected.
With more, the rate of false alarms of one calibration set is closer to alpha."""
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
    trained = [r["training"]["false_alarms"] for r in rows if "training" in r]
    for alpha in ALPHAS if trained else ():
        rates = [of[f"{alpha:g}"] for of in trained]
        alarms[f"by training\nscores, {alpha:.0%}"] = alpha, rates, None
    found = {
        name: [
            (r["auroc"][name], *_powers(r, name)) for r in rows if name in r["auroc"]
        ]
        for name in results["outliers"]
    }
    abstain = results["abstain"] or {"sets": {}, "alpha": ALPHA}
    accepted = {
        n: (s["accepted"], s["accepted_and_wrong"]) for n, s in abstain["sets"].items()
    }
    return figures.decision_panels(
        alarms,
        found,
        [r["by_class"] for r in rows if "by_class" in r],
        accepted,
        id_name=results["in_distribution"],
        alpha=FOUND,
        allowed=abstain["alpha"],
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    rows, of = results["rows"], results["detect"]
    page = Document("Decisions", f"{of['run']}, {of['network']}")
    page.text(ABOUT)
    page.facts(
        {
            "in-distribution": results["in_distribution"],
            "calibration scores": results["calibrate"],
            "scores tested": results["test"],
            "splits": results["splits"],
            "batches": results["batch"]["batches"],
            "detectors": len(rows),
        }
    )
    if picture is not None:
        alt = "false alarms, outliers found, false alarms by class, and abstention"
        page.figure(picture, "All detectors", alt)
    _false_alarms(page, results)
    for name in results["outliers"]:
        _outliers(page, rows, name, results["batch"]["level"])
    _broken_promises(page, rows)
    if results["abstain"]:
        _abstention(page, results["abstain"])
    if results["left_out"]:
        page.section("Left out").facts(results["left_out"])
    return page


def _false_alarms(page: Document, results: dict) -> None:
    rows = results["rows"]
    page.section("False alarms")
    lines = [
        [
            alpha,
            _percent(found["mean"]),
            f"{_percent(found['least'])} ... {_percent(found['most'])}",
            _percent(found["largest_difference"]),
            f"{found['within_0.002']} of {found['detectors']}",
            share(found["splits_inside"]),
        ]
        for alpha, found in results["summary"].items()
    ]
    headers = ["promised", "mean", "least ... most", "farthest off"]
    headers += ["within 0.2 points", "single splits inside their interval"]
    page.table(headers, lines, "All detectors: mean rates over splits")
    headers = ["detector"]
    for alpha in ALPHAS:
        low, high = rows[0]["false_alarms"][f"{alpha:g}"]["interval"]
        headers += [f"at {alpha:g} [{share(low)}, {share(high)}]", "least ... most"]
    lines = []
    for row in rows:
        line = [row["name"]]
        for alpha in ALPHAS:
            found = row["false_alarms"][f"{alpha:g}"]
            least, most = (_percent(of(found["per_split"])) for of in (min, max))
            line += [_percent(found["mean"]), f"{least} ... {most}"]
        lines.append(line)
    caption = (
        "Mean over splits and its range; in brackets, where 95 % of calibration sets "
        "are promised to have it"
    )
    page.table(headers, lines, caption)
    page.section("How many images").text(SIZES)
    lines = [
        [
            f"{size['alpha']:g}",
            size["least"],
            size["least_conditional"],
            *(_ends(size["intervals"].get(str(n))) for n in measures.SIZES),
        ]
        for size in results["calibration_sizes"]
    ]
    headers = ["alpha", "at least", "conditional: at least"]
    headers += [f"of {n:,}" for n in measures.SIZES]
    page.table(headers, lines, "Calibration scores, and false alarms of 95 % of sets")


def _outliers(page: Document, rows: list[dict], name: str, level: float) -> None:
    page.section(f"Outliers: {name}")
    shown = [r for r in rows if name in r["auroc"]]
    shown.sort(key=lambda r: -r["auroc"][name])
    lines = []
    for row in shown:
        line = [row["name"], decimals(row["auroc"][name]), share(row["found"][name])]
        for how in ("marginal", "conditional"):
            measured = row["batches"][name][how]
            line += [share(measured["power"]), _with_error(measured)]
        lines.append(line)
    headers = ["detector", "AUROC", "found at 0.05", "power", "FDR"]
    headers += ["conditional: power", "FDR"]
    caption = (
        f"Found by p <= 0.05, and in batches at level {level:g}; FDR with its standard "
        "error over splits"
    )
    page.table(headers, lines, caption)


def _broken_promises(page: Document, rows: list[dict]) -> None:
    """Thresholds, classes and images of which nothing was promised."""
    if trained := [r for r in rows if "training" in r]:
        page.section("Thresholds by training scores").text(TRAINING)
        rates = [[r["name"], *r["training"]["false_alarms"].values()] for r in trained]
        lines = [[name, *map(_percent, found)] for name, *found in rates]
        headers = ["detector", *(f"false alarms at {a:.0%}" for a in ALPHAS)]
        page.table(headers, lines, "False alarms on test images")
    if classes := [[r["name"], *r["by_class"]] for r in rows if "by_class" in r]:
        page.section("False alarms by class").text(CLASSES)
        lines = [[name, *map(_percent, found)] for name, *found in classes]
        headers = ["detector", *map(str, range(len(lines[0]) - 1))]
        page.table(headers, lines, "At p <= 0.05, by class")
    if seen := [r for r in rows if r["corrupted"]]:
        page.section("Corrupted images").text(CORRUPTED)
        names = list(dict.fromkeys(n for r in seen for n in r["corrupted"]))
        lines = [
            [r["name"], *(share(r["corrupted"].get(n)) for n in names)] for r in seen
        ]
        page.table(["detector", *names], lines, "Alarms at p <= 0.05")


def _abstention(page: Document, abstain: dict) -> None:
    page.section(f"Abstention by {abstain['detector']}").text(ABSTAIN)
    keys = ("wrong", "accepted", "accepted_and_wrong")
    lines = [
        [name, *(share(rates[key]) for key in keys), share(_of_accepted(rates))]
        for name, rates in abstain["sets"].items()
    ]
    headers = ["images", "wrong of all", "accepted", "accepted and wrong"]
    headers.append("wrong of those accepted")
    caption = f"Allowed: accepted and wrong, {abstain['alpha']:.0%}"
    page.table(headers, lines, caption)


def _of_accepted(rates: dict) -> float | None:
    accepted = rates["accepted"]
    return rates["accepted_and_wrong"] / accepted if accepted else None


def _powers(row: dict, name: str) -> tuple[float, float]:
    of = row["batches"][name]
    return of["marginal"]["power"], of["conditional"]["power"]


def _ends(interval: list[float] | None) -> str:
    return "–" if interval is None else " ... ".join(map(_percent, interval))


def _with_error(measured: dict) -> str:
    fdr, error = measured["fdr"], measured["fdr_standard_error"]
    return share(fdr) if error is None else f"{share(fdr)} ± {share(error)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
