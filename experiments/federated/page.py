"""table.md, federated.html and federated.png: the numbers of results.json."""

from experiments.core.pixel_gaussian import NAME as PIXELS
from experiments.federated.measures import MAIN, NEAR, SCORES
from experiments.federated.training import FOSTER, ORACLE, PLAIN, TAILS
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, share, size

ABOUT = f"""\
Each client has images of a few classes. Clients share all layers of a LeNet but the
last, and a server averages what they share; classes of other clients are out of
distribution for a client. Local only: nothing is shared. One head: the last layer is
averaged, too. Local heads: each client has its own, which learns the client's classes
alone. Rows below it add outliers in feature space, which the heads learn to be unsure
of, from some round on: tails of a client's own classes (as VOS), tails of features that
a generator makes for classes the client has never seen (FOSTER), or features of real
images of these classes, which no client may see: a ceiling. Until outliers begin, these
rows are one federation. The last row is a Gaussian of 128 principal components of the
pixels of each client's images.

Every score is of the logits of a client's own classes, and higher for more
in-distribution; none is flipped. In-distribution are test images of the client's
classes; {NEAR} are those of all other test images. AUROC and accuracy are means over
clients. Differences to local heads are paired by client and averaged within a seed;
intervals are Student's at 95 % over seeds. The row that counts was named before any
number was seen: {MAIN[0]} against {MAIN[1]}."""


def figure(results: dict):
    """Draw AUROC by the main score, its paired differences, and accuracy."""
    score, of = MAIN
    rows = results["rows"]
    areas = {
        row["name"]: {n: found["seeds"] for n, found in row["auroc"][score].items()}
        for row in rows
    }
    apart = {row["name"]: row["difference"][score][of] for row in rows}
    accuracies = {r["name"]: r["accuracy"]["seeds"] for r in rows if "accuracy" in r}
    count, classes = (results["config"]["clients"][k] for k in ("count", "classes"))
    return figures.client_panels(
        areas,
        # of networks: pixels have another scale
        {name: found for name, found in apart.items() if name != PIXELS},
        accuracies,
        base=PLAIN,
        of=of,
        score=score,
        title=f"{count} clients of {classes} classes each",
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    c, rows = results["config"]["clients"], results["rows"]
    train = results["train"]
    page = Document(
        "Federated clients", f"{train['name']}, {len(results['seeds'])} seeds"
    )
    page.text(ABOUT)
    page.facts(
        {
            "verdict on generated outliers": results["verdict"],
            "clients": c["count"],
            "classes of each": c["classes"],
            "training images": train["count"],
            "rounds": c["rounds"],
            "outliers from round": c["begin"],
            "steps of a client in a round": c["steps"],
            "batch": c["batch_size"],
            "outlier term": f"{c['kind']}, weight {c['weight']:g}",
        }
    )
    if picture is not None:
        alt = "AUROC of every row, differences to local heads, and accuracy"
        page.figure(picture, "Every row, every seed", alt)
    sets = list(rows[0]["auroc"][MAIN[0]])
    for score in SCORES:
        page.section(f"AUROC by {score}")
        lines = [
            [
                row["name"],
                share(row["accuracy"]["mean"]) if "accuracy" in row else None,
                *(_with_interval(row["auroc"][score][n]) for n in sets),
            ]
            for row in rows
        ]
        page.table(["clients", "accuracy", *sets], lines, "Means over clients")
        lines = [
            [
                row["name"],
                _gain(row["accuracy_difference"]),
                *(_gain(row["difference"][score][n]) for n in sets),
            ]
            for row in rows
            if row["name"] not in (PLAIN, PIXELS)
        ]
        caption = (
            f"Accuracy and AUROC, as fractions, less those of {PLAIN}, and how many "
            "clients of all seeds gain"
        )
        page.table(["clients", "accuracy", *sets], lines, caption)
    _traffic(page, results["bytes_a_round"])
    _last_round(page, results)
    page.section("Measured with")
    page.facts(results["versions"])
    return page


def _traffic(page: Document, bytes_: dict) -> None:
    page.section("What a client sends in a round")
    page.facts(
        {
            "shared layers, up and down": size(bytes_["shared_layers"]),
            "its head, up": size(bytes_["head"]),
            "generator, down, from the first round with outliers": size(
                bytes_["generator"]
            ),
        }
    )


def _last_round(page: Document, results: dict) -> None:
    """What outliers are like: their lengths, beside those of real features."""
    lines = []
    for row in (TAILS, FOSTER, ORACLE):
        of_seeds = [seed[row] for seed in results["by_seed"]]
        last = [of["last_round"] for of in of_seeds]
        if not all("outlier_norm" in log for log in last):
            continue
        clients = [c["feature_norm"] for of in of_seeds for c in of["clients"]]
        lines.append(
            [
                row,
                _mean([log["outlier_norm"] for log in last]),
                _mean([c["own"] for c in clients]),
                _mean([c[NEAR] for c in clients]),
                _mean([log["outlier_loss"] for log in last]),
                _mean([log.get("generator_accuracy") for log in last]),
            ]
        )
    if lines:
        page.section("Outliers of the last round")
        headers = ["clients", "length of outliers", "of own features"]
        headers += [f"of {NEAR}", "outlier loss, nats", "generator's accuracy"]
        page.table(headers, lines, "Features that heads are told to be unsure of")


def _mean(values: list) -> str | None:
    known = [v for v in values if v is not None]
    return decimals(sum(known) / len(known), 2) if known else None


def _with_interval(found: dict) -> str:
    value = decimals(found["mean"])
    if found["low"] is None:
        return value
    return f"{value} [{decimals(found['low'])}, {decimals(found['high'])}]"


def _gain(found: dict) -> str:
    ends = ""
    if found["low"] is not None:
        ends = f" [{found['low']:+.3f}, {found['high']:+.3f}]"
    return f"{found['mean']:+.3f}{ends}, {found['gain']} of {found['clients']}"
