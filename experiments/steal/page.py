"""table.md, steal.html and steal.png: the numbers of results.json."""

from experiments.core.pixel_gaussian import NAME as PCA
from experiments.steal.attacks import DIGITS, LABELS, SIMILAR, SOFT
from experiments.steal.detection import COHERENCE, EXPOSED, INFORMATION, row_name
from experiments.steal.images import CLOTHING, MADE_OF_TEST
from experiments.steal.targets import KEYED, MEMBERS, ONE, PERCEPTUAL, PLAIN
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, plus_minus

ABOUT = """\
An attacker asks a classifier about images of another set, and trains a clone on the
answers. Members of the ensemble were trained apart, and then to differ on outliers made
of training images; one of them answers each query: by a secret and the pixels (keyed),
or by what a network of other images sees (perceptual). Members, keyed, are the same
without diversity: what is below them is due to diversity, not to the choice of member.
Members told of lower digits were trained to differ on the lower half of the attacker's
classes, in place of made outliers, and are asked about the upper half.

This is no security guarantee. An attacker who averages the answers to changed copies of
a query, or who has images like the training data, is in the table. No number was chosen
by the outliers that are tested, and no score is flipped."""
DETECT = """\
The owner's networks as detectors, beside a Gaussian on 128 principal components of the
same training images, which is no network at all. Images of the held-out class were in
no training; made outliers are of test images, in the ways that diverse members were
told of. Those told of lower digits are asked about upper ones alone."""
COHERENT = """\
The largest cosine of two members' probabilities, mean of all images of a set: 1 where
all agree. Test images are those to agree on. Members that were told of lower digits are
not asked about all digits."""


def figure(results: dict):
    """Draw the content of results.json."""
    clones = {
        _attack_name(a): (a["target"]["per_seed"], a["clone"]["per_seed"])
        for a in results["attacks"]
    }
    shown = [PCA, f"{ONE}: MSP", row_name(PLAIN, INFORMATION)]
    shown += [row_name(KEYED, INFORMATION), row_name(KEYED, COHERENCE)]
    areas = {
        row["name"]: {n: a and a["mean"] for n, a in row["auroc"].items()}
        for row in results["detection"]
        if row["name"] in shown
    }
    coherence = {
        members: {_set_name(n): m and m["mean"] for n, m in of.items()}
        for members, of in results["coherence"].items()
    }
    areas = {d: {_set_name(n): a for n, a in of.items()} for d, of in areas.items()}
    return figures.theft_panels(clones, areas, coherence, id_name=_set_name(CLOTHING))


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    c, seeds = results["served"], results["seeds"]
    page = Document("Copies of a classifier by its answers", _subtitle(results))
    page.text(ABOUT)
    sizes = results["images"]
    page.facts(
        {
            "training images": sizes["train"],
            "of the attacker, like them": sizes["similar"],
            "queries": sizes["queries"],
            "images of the hash network": sizes["hash"],
            "test images": sizes[f"tested: {CLOTHING}"],
            "members": c["members"],
            "epochs apart": c["epochs"],
            "further epochs": c["joint_epochs"],
            "epochs of a clone": c["clone_epochs"],
            "weight of diversity": float(c["weight"]),
            "held-out class": c["held_out_class"],
            "seeds": len(seeds),
        }
    )
    if picture is not None:
        alt = "accuracy of clones, AUROC of disagreement, and coherence by set"
        page.figure(picture, "Clones, detectors and members", alt)
    _clones(page, results)
    _detection(page, results)
    page.section("Expected, and measured").text(
        "The first five lines were written down before the run; the last two are "
        "questions of ours that were added later. All are of means over seeds."
    )
    page.table(
        ["expected", "measured", "so it is"], expectations(results), "Expectations"
    )
    return page


def _clones(page: Document, results: dict) -> None:
    rows = results["attacks"]
    page.section("Clones")
    columns = {
        "clone, probabilities": (DIGITS, SOFT, False),
        "clone, labels": (DIGITS, LABELS, False),
        "averaged": (DIGITS, SOFT, True),
        "similar images": (SIMILAR, SOFT, False),
    }
    lines = []
    for target in (ONE, PLAIN, KEYED, PERCEPTUAL):
        of = [a for a in rows if a["name"] == target]
        found = {
            name: a
            for name, key in columns.items()
            for a in of
            if (a["queries"], a["output"], a["averaged"]) == key
        }
        cells = [found.get(n) for n in columns]
        lines.append(
            [target, *_cells(of[0], "target")]
            + [_cells(a, "clone")[0] if a else "–" for a in cells]
        )
    c = results["served"]
    caption = (
        f"Accuracy on test images, %. Queries are digits; averaged: each asked "
        f"{c['repeats']} times, changed by up to {c['jitter']} levels of 255; similar "
        "images: queries like the training data"
    )
    page.table(["what is copied", "its accuracy", *columns], lines, caption)
    lines = [
        [
            _attack_name(a),
            a["asked"],
            *_cells(a, "target", "clone", "relative", "agreement"),
            *_cells(a, "clone_less_than_one_network"),
        ]
        for a in rows
    ]
    headers = ["what is copied; queries", "asked", "its accuracy", "clone"]
    headers += ["clone / target", "agreement", "below that of one network"]
    caption = (
        "Every attack, %: agreement on test images, and the points by which a clone is "
        "below that of one network, paired by seed"
    )
    page.table(headers, lines, caption)


def _detection(page: Document, results: dict) -> None:
    page.section("Detection by disagreement").text(DETECT)
    sets = list(results["detection"][0]["auroc"])
    lines = []
    for row in results["detection"]:
        areas = row["auroc"].values()
        cells = [
            "–" if a is None else plus_minus(a["mean"], a["std"], 2) for a in areas
        ]
        lines.append([row["name"], *cells])
    page.table(["detector", *map(_set_name, sets)], lines, "AUROC")
    page.section("Coherence").text(COHERENT)
    sets = list(next(iter(results["coherence"].values())))
    lines = [
        [members, *(decimals(of[n]["mean"]) if of[n] else "–" for n in sets)]
        for members, of in results["coherence"].items()
    ]
    page.table(["members", *map(_set_name, sets)], lines, "Mean coherence")


def expectations(results: dict) -> list[list[str]]:
    """`[what was expected, what is measured, yes or no]`, by means over seeds."""
    found = {
        (a["name"], a["queries"], a["output"], a["averaged"]): a
        for a in results["attacks"]
    }
    one = found[ONE, DIGITS, SOFT, False]
    keyed = found[KEYED, DIGITS, SOFT, False]
    averaged = found[KEYED, DIGITS, SOFT, True]
    own = 100 * (keyed["target"]["mean"] - one["target"]["mean"])
    of_one, of_keyed, of_averaged = (a["clone"]["mean"] for a in (one, keyed, averaged))
    fall = 1 - of_keyed / of_one if of_one else 0.0
    agreed = {n: m["mean"] for n, m in results["coherence"][MEMBERS[KEYED]].items()}
    areas = {r["name"]: r["auroc"] for r in results["detection"]}
    best, pixels = (
        {n: a["mean"] for n, a in areas[name].items() if a and n != MADE_OF_TEST}
        for name in (row_name(KEYED, COHERENCE), PCA)
    )
    exposed = {n: areas[EXPOSED][n]["mean"] for n in best}
    lines = [
        (
            "accuracy of diverse members at most 1 point below one network",
            f"{own:+.1f} points",
            own >= -1,
        ),
        (
            "clone of diverse members, keyed, at least 10 % below that of one network",
            f"{100 * fall:.0f} % below" if fall >= 0 else f"{-100 * fall:.0f} % above",
            fall >= 0.1,
        ),
        (
            "averaged answers make a better clone",
            f"{100 * (of_averaged - of_keyed):+.1f} points",
            of_averaged > of_keyed,
        ),
        (
            "coherence on test images above 0.9",
            decimals(agreed[CLOTHING]),
            agreed[CLOTHING] > 0.9,
        ),
        (
            "coherence on made outliers below 0.3",
            decimals(agreed[MADE_OF_TEST]),
            agreed[MADE_OF_TEST] < 0.3,
        ),
    ]
    for name, others in (("a Gaussian of pixels", pixels), ("exposure", exposed)):
        above = [n for n in best if best[n] > others[n]]
        lines.append(
            (
                f"coherence detects better than {name} on all sets",
                f"on {len(above)} of {len(best)}",
                len(above) == len(best),
            )
        )
    return [[what, measured, "yes" if held else "no"] for what, measured, held in lines]


def _attack_name(attack: dict) -> str:
    """A row of the figure."""
    parts = [attack["name"], _set_name(attack["queries"])]
    parts += ["averaged"] if attack["averaged"] else []
    parts += ["labels"] if attack["output"] == LABELS else []
    return "; ".join(parts)


def _set_name(name: str) -> str:
    names = {CLOTHING: "test images", MADE_OF_TEST: "made outliers"}
    return names.get(name, name)


def _cells(attack: dict, *keys: str) -> list[str]:
    return [_percent(attack[key]) for key in keys]


def _percent(value: dict) -> str:
    """A mean of fractions, and its deviation over seeds, in per cent."""
    mean, std = value["mean"], value["std"]
    if mean is None:
        return "–"
    return plus_minus(100 * mean, None if std is None else 100 * std, 1)


def _subtitle(results: dict) -> str:
    members, count = results["served"]["members"], len(results["seeds"])
    if count == 1:
        return f"{members} members, one seed"
    return f"{members} members, {count} seeds; mean ± deviation over seeds"
