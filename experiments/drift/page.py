"""table.md, drift.html and drift.png: the numbers of results.json."""

from experiments.drift.measures import BOTH, KS, POWER
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, share

ABOUT = """\
Every stream is of kept scores in random order; after the change, all or some are of
another set, or a class is missing. A monitor ranks every score among those before it
and bets that the ranks are uniform. Where nothing changes its wealth reaches the alarm
with a known probability, however long the stream and however often one looks. Jumper
bets win by ranks of either end, power bets by low scores alone; both is the mean of the
two wealths. Fixed + Simes ranks among calibration scores alone. CUSUM forgets what was
lost before a change; it promises a length of run, not that it never rings. KS tests
windows against calibration, at 0.05 for all windows together (corrected) or for each.

Delay: the median number of steps from the change to the alarm, of streams without an
earlier alarm; a dash where most of them missed it. In brackets, the share missed."""


def figure(results: dict):
    """Draw the content of results.json; curves and delays of the first detector."""
    rows = results["rows"]
    first = rows[0]
    changes = [c for c in _changes(first) if not c.startswith("without class")]
    delays = {
        monitor: [_delay(of["changes"][c]) for c in changes]
        for monitor, of in first["monitors"].items()
    }
    classes = [c for c in _changes(first) if c.startswith("without class")]
    vanished = {
        monitor: {c: [_noticed(r, monitor, c) for r in rows] for c in classes}
        for monitor in (BOTH, KS)
        if classes and monitor in first["monitors"]
    }
    alarms = {
        m: (of["bound"], [r["monitors"][m]["false_alarms"] for r in rows])
        for m, of in first["monitors"].items()
    }
    return figures.drift_panels(
        results["log10_wealth"]["changes"],
        changes,
        delays,
        alarms,
        vanished,
        every=results["log10_wealth"]["every"],
        change=results["change"],
        steps=results["steps"],
        alarm=results["alarm"],
        detector=first["name"],
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    rows = results["rows"]
    of = results["detect"]
    page = Document("Drift", f"{of['run']}, {of['network']}")
    page.text(ABOUT)
    page.facts(
        {
            "in-distribution": results["in_distribution"],
            "calibration scores": results["calibrate"],
            "steps": results["steps"],
            "change after step": results["change"],
            "streams of each change": results["streams"],
            "alarm at a wealth of": results["alarm"],
            "windows of": results["window"],
        }
    )
    if picture is not None:
        alt = "wealth of streams, delays, false alarms, and classes that vanish"
        page.figure(picture, f"Streams of scores of {rows[0]['name']}", alt)
    page.section("Without a change")
    monitors = rows[0]["monitors"]
    lines = [
        [
            name,
            "–" if m["bound"] is None else f"at most {share(m['bound'])}",
            *(share(r["monitors"][name]["false_alarms"]) for r in rows),
        ]
        for name, m in monitors.items()
    ]
    headers = ["monitor", "promised", *(r["name"] for r in rows)]
    page.table(headers, lines, "Streams with an alarm")
    for row in rows:
        page.section(row["name"])
        areas = [f"{n} {decimals(a)}" for n, a in row["auroc"].items()]
        page.text(f"AUROC: {', '.join(areas)}.")
        lines = [
            [c, *(_cell(m["changes"][c]) for m in row["monitors"].values())]
            for c in _changes(row)
        ]
        caption = "Median delay, and in brackets the share missed"
        page.table(["change", *row["monitors"]], lines, caption)
    if results["left_out"]:
        page.section("Left out").facts(results["left_out"])
    return page


def _changes(row: dict) -> list[str]:
    return list(row["monitors"][POWER]["changes"])


def _noticed(row: dict, monitor: str, change: str) -> float:
    missed = row["monitors"][monitor]["changes"][change]["missed"]
    return 0.0 if missed is None else 1 - missed


def _delay(change: dict) -> float | None:
    return change["median_delay"]


def _cell(change: dict) -> str:
    delay, missed = change["median_delay"], change["missed"]
    shown = "–" if delay is None else f"{delay:.0f}"
    return shown if missed in (None, 0.0) else f"{shown} ({share(missed)})"
