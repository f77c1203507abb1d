"""table.md, monitor.html and monitor.png: the numbers of results.json."""

from collections.abc import Callable

import numpy as np

from experiments.monitor.measures import AFTER, BEFORE, FIRST, USUAL
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, share

ABOUT = """\
A scene is an outfit of clothing: a context is drawn, then the class of every item from
it, then the item. One item of every test scene is put to the test. It is left as it is,
replaced by an image of another set, corrupted, or exchanged with the item of a scene
of another context.

Layer 1 is the log density, under a flow, of an item's principal components, the
classifier's logits and the explanation of its answer together. Layer 2 is the log
probability of the classifier's answer given those for the other items. Both layers: the
smaller of two p-values, which calibration scenes give. Scores are higher for what is
more usual, and none is turned round."""
AREAS = """\
AUROC against the items that were left as they are; of exchanged items, against the same
images in their own scenes, so that whatever looks at single items has 0.500. Means over
networks."""
ABLATION = """\
AUROC of the joint density less that of each ablation, of the same items and averaged
over networks, with 95 % intervals (DeLong). Where an interval holds 0, the part adds
nothing that these items show. The intervals are of the items, not of training, and of
{count} of them one in twenty leaves 0 out by chance. So a gain or a loss is one only
with a star: the interval leaves 0 out, and there are several networks, all on that
side. Three densities apart: flows of the three parts, each by itself, and the sum of
their log densities."""
ALARMS = """\
An alarm is p <= alpha, of p = min(1, 2 min(p1, p2)). The layer of an alarm is the one
of the smaller p-value. Alone: p1 or p2 <= alpha. Neighbours: alarms for the items
beside the one that is tested, which are as usual as ever."""


def figure(results: dict, examples: dict):
    """Draw the content of results.json, and a scene of some sets."""
    scenes = {
        name: (
            np.array(
                [np.frombuffer(bytes.fromhex(i), np.uint8) for i in of["items"]]
            ).reshape(-1, *of["shape"]),
            of["p_first"],
            of["p_second"],
            of["layer"],
        )
        for name, of in examples.items()
    }
    areas = {
        _short(row): {name: a["auroc"] for name, a in of.items()}
        for row, of in results["rows"].items()
    }
    alarms = {
        name: (of["first"], of["second"])
        for name, of in results["alarms"].items()
        if name != BEFORE
    }
    return figures.monitor_panels(
        scenes,
        areas,
        alarms,
        {
            _short(row): {name: d["difference"] for name, d in of.items()}
            for row, of in results["differences"].items()
        },
        alpha=results["settings"]["alpha"],
        usual=USUAL,
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    settings, images = results["settings"], results["images"]
    page = Document("Monitor", "two layers: the item, and its context")
    page.text(ABOUT)
    page.facts(
        {
            "networks": len(results["networks"]),
            "accuracy": ", ".join(share(n["accuracy"]) for n in results["networks"]),
            "images trained on": images["trained on"],
            "scenes to learn from": settings["train"],
            "scenes that calibrate": settings["calibrate"],
            "scenes that are tested": settings["test"],
            "pairs exchanged": images["pairs exchanged"],
            "alpha": settings["alpha"],
        }
    )
    if picture is not None:
        alt = "scenes, AUROC, alarms by layer, and what the parts of the density add"
        page.figure(picture, "Means over networks", alt)
    rows = results["rows"]
    sets = list(rows[FIRST])
    page.section("What each layer sees").text(AREAS)
    captions: dict[str, Callable[[dict], str]] = {
        "AUROC": _area,
        "95 % intervals of the items": _interval,
    }
    if len(results["networks"]) > 1:
        captions["Lowest and highest of the networks"] = _spread
    for caption, cell in captions.items():
        lines = [
            [_short(row), *("–" if name not in of else cell(of[name]) for name in sets)]
            for row, of in rows.items()
        ]
        page.table(["row", *sets], lines, caption)
    of = results["differences"]
    sets = [name for name in sets if name != AFTER]
    ablation = ABLATION.format(count=len(of) * len(sets))
    page.section("Is it the joint that helps?").text(ablation)
    captions = {"Differences of AUROC": _difference}
    if len(results["networks"]) > 1:
        captions["Differences, lowest and highest of the networks"] = _signed_spread
    for caption, cell in captions.items():
        lines = [[_short(row), *(cell(of[row][n]) for n in sets)] for row in of]
        page.table(["less", *sets], lines, caption)
    page.section("Alarms").text(ALARMS)
    keys = ("alarm", "first", "second", "first_alone", "second_alone", "neighbours")
    lines = [
        [name, *(share(of[key]) for key in keys)]
        for name, of in results["alarms"].items()
    ]
    headers = ["items", "alarms", "by layer 1", "by layer 2", "layer 1 alone"]
    headers += ["layer 2 alone", "neighbours"]
    page.table(
        headers, lines, f"At most {share(settings['alpha'])} is promised of clothing"
    )
    return page


def _short(row: str) -> str:
    """`without inputs`, where it is clear of what."""
    return row.removeprefix("joint density ")


def _area(area: dict) -> str:
    return decimals(area["auroc"])


def _interval(area: dict) -> str:
    low, high = (decimals(end, 2) for end in area["interval"])
    return f"{low} ... {high}"


def _spread(area: dict) -> str:
    of = area["per_network"]
    return f"{decimals(min(of), 2)} ... {decimals(max(of), 2)}"


def _difference(of: dict) -> str:
    value, low, high = (f"{v:+.2f}" for v in of["difference"])
    return f"{value} [{low}, {high}]" + (" \N{BLACK STAR}" if of["shown"] else "")


def _signed_spread(of: dict) -> str:
    return f"{min(of['per_network']):+.2f} ... {max(of['per_network']):+.2f}"
