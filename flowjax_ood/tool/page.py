"""The page of `score`: the most unusual images first, and what is normal near them."""

import io

import numpy as np

from flowjax_ood.interface.document import Card, Document
from flowjax_ood.novelty.features import PixelFeatures
from flowjax_ood.tool.extraction import brought_to
from flowjax_ood.tool.reading import Examples
from flowjax_ood.tool.scoring import (
    NEW,
    UNREADABLE,
    Rule,
    Scored,
    most_unusual_first,
    spoke,
)
from flowjax_ood.tool.subject import Subject

# images on the page
MOST_SHOWN = 60
# shares of images by p-value
STEPS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5)
# maps: what is beyond so many standard deviations of a component is unusual
USUAL = 2.0
MAP_SIDE = 96


def page(
    subject: Subject,
    examples: Examples,
    scored: Scored,
    records: list[dict],
    rule: Rule,
) -> Document:
    """Build the report of one run of `score`."""
    facts, counts = subject.facts, subject.facts["counts"]
    new = sum(r["decision"] == NEW for r in records)
    bad = sum(r["decision"] == UNREADABLE for r in records)
    document = Document(
        f"{new} of {len(records)} images are new",
        f"{examples.source}, compared with {facts['source']}",
    )
    document.facts(
        {
            "rule": f"p <= {rule.level:g}"
            if rule.control == "each"
            else f"false discoveries <= {rule.level:g}",
            "images": len(records),
            "new": new,
            "unreadable": bad,
            "fitted to": counts["fitted"],
            "calibrated by": counts["calibrated"],
            "compared by": facts["method"],
        }
    )
    document.text(_meaning(rule, counts["calibrated"]))
    known = int(scored.known.sum())
    if known:
        document.text(
            f"{known} of these images are among those that the detector was fitted to "
            "or calibrated by; what is said of them promises nothing."
        )
    calibration = subject.detector.calibration
    expected = {p: calibration.false_alarms(p).value for p in STEPS}
    document.table(
        ["p-value at most", "images", "share", "if all were normal"],
        [
            [
                f"{p:g}",
                int((scored.p <= p).sum()),
                f"{(scored.p <= p).mean():.1%}",
                f"{rate:.1%}",
            ]
            for p, rate in expected.items()
            if rate > 0
        ],
        "How many images are how unusual",
    )
    order = most_unusual_first(scored)[:MOST_SHOWN]
    document.section("The most unusual first")
    document.text(
        "Beside each image: the most similar normal ones, and for pixels where it "
        "departs from what is normal (bright is unusual). The line below names the "
        "statistic that is most unusual, with its own p-value."
    )
    document.gallery([_card(subject, examples, scored, records, k) for k in order])
    if len(scored.rows) > MOST_SHOWN:
        document.text(f"{len(scored.rows) - MOST_SHOWN} more are in decisions.csv.")
    if scored.problems:
        document.section("What could not be read")
        document.table(
            ["image", "problem"],
            [[examples.names[i], text] for i, text in scored.problems.items()],
            "These images have no decision",
            align="ll",
        )
    return document


def _meaning(rule: Rule, calibrated: int) -> str:
    each = (
        "The p-value of an image is the share of normal images that look at least as "
        f"unusual, by {calibrated} that the detector was not fitted to. It holds for "
        "images that come as those came: one camera, one preparation, no choice."
    )
    if rule.control == "each":
        return f"{each} Of normal images, a share of {rule.level:g} is called new."
    return (
        f"{each} By Benjamini and Hochberg's rule, at most {rule.level:g} of those "
        "called new are normal, on average over such runs."
    )


def _card(subject, examples, scored: Scored, records, k: int) -> Card:
    record = records[int(scored.rows[k])]
    pictures = [(scored.thumbnails[k], "image")]
    if (found := unusual_map(subject, examples, int(scored.rows[k]))) is not None:
        pictures.append((found, "where"))
    pictures += [
        (subject.thumbnails[i], "normal") for i in scored.nearest[k].astype(int)
    ]
    lines = [
        f"p = {record['p_value']:.3g}, {record['decision']}",
        spoke(record["parts"]),
    ]
    if record["fitted"]:
        lines.append("it was fitted to or calibrated by this image")
    return Card(
        record["image"], tuple(lines), tuple(pictures), record["decision"] == NEW
    )


def unusual_map(subject: Subject, examples: Examples, row: int) -> bytes | None:
    """Where an image departs from what is normal, as a PNG; None without pixels.

    The difference to the image that is left when every principal component is brought
    back into two standard deviations, and all outside of them is taken off.
    """
    views = subject.features.views if subject.features else ()
    number = next(
        (k for k, view in enumerate(views) if isinstance(view, PixelFeatures)), None
    )
    if number is None:
        return None
    picture = next(examples.pictures([row]))
    if picture.made is None:
        return None
    view = views[number]
    image = brought_to(picture.made, view.shape)
    projection = subject.detector.model.views[number].projection
    mean, scale, directions, deviations = (
        np.asarray(a, np.float64)
        for a in (
            projection.mean,
            projection.scale,
            projection.directions,
            projection.deviations,
        )
    )
    away = (view.vectors(image[None])[0] - mean) / scale
    t = np.clip(away @ directions / deviations, -USUAL, USUAL) * deviations
    strange = np.abs(away - directions @ t).reshape(view.shape).max(2)
    return _heat(strange)


def _heat(values: np.ndarray) -> bytes:
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    # single pixels say little
    values = gaussian_filter(values, max(values.shape) / 40)
    top = max(float(np.quantile(values, 0.995)), 1e-12)
    shown = np.clip(values / top, 0, 1)
    # dark blue, orange, white: lightness grows with what is unusual
    stops = np.array([[18, 22, 40], [200, 80, 30], [255, 250, 225]], float)
    at = np.array([0.0, 0.55, 1.0])
    colours = np.stack([np.interp(shown, at, stops[:, c]) for c in range(3)], -1)
    picture = Image.fromarray(colours.astype(np.uint8))
    height, width = values.shape
    larger = max(1, MAP_SIDE // max(height, width))
    picture = picture.resize(
        (width * larger, height * larger), Image.Resampling.NEAREST
    )
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return written.getvalue()
