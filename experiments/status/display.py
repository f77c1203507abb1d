"""`status` for people: a page about one run, or a table of several."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from experiments.core.text import (
    age,
    duration,
    number,
    percent,
    size,
    sparkline,
    steps,
)

GOOD, WAITING, WRONG, FAINT = "green", "yellow", "bold red", "bright_black"
# mark and style of each state
LOOKS = {
    "starting": ("◌", "cyan"),
    "running": ("●", "bold green"),
    "silent": ("!", WRONG),
    "stopped": ("■", WAITING),
    "crashed": ("✖", WRONG),
    "diverged": ("✖", WRONG),
    "finished": ("✔", GOOD),
    "evaluated": ("✔", GOOD),
    "new": ("·", FAINT),
}
# how many warnings and results a page shows
MOST = 5
# terminals of so many columns have all columns of the table
WIDE = 108
# between columns, and the least that is left of a name
GAP, SHORTEST = 2, 12


def page(record: dict) -> RenderableType:
    """Everything in the record of one run."""
    style = LOOKS[record["state"]][1].replace("bold ", "")
    bar = ProgressBar(
        total=1.0,
        completed=record["fraction"] or 0.0,
        complete_style=style,
        finished_style=style,
    )
    done = f"{steps(record['step'])} of {steps(record['num_steps'])} steps"
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style=FAINT, no_wrap=True)
    rows.add_column()
    for label, text, style in _facts(record):
        if text:
            rows.add_row(label, Text.from_markup(text, style=style))
    return Group(
        _line(Text(record["workdir"], style="bold"), _state(record)),
        _line(bar, Text(f"{done}  {percent(record['fraction'])}".strip()), padding=2),
        Text(),
        Padding(rows, (0, 0, 1, 2)),
    )


def _line(left: RenderableType, right: RenderableType, padding: int = 0) -> Table:
    line = Table.grid(expand=True, padding=(0, padding))
    line.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _state(record: dict) -> Text:
    mark, style = LOOKS[record["state"]]
    return Text(f"{mark} {record['state']}", style=style)


def _facts(record: dict) -> Iterator[tuple[str, str, str]]:
    """`(label, markup, style)`; the markup is empty where nothing is known."""
    style = LOOKS[record["state"]][1]
    yield "why", escape(record["why"]), style
    for message in record["attention"]:
        if message != record["why"]:
            yield "damage", escape(message), WRONG
    yield *_eta(record), ""
    yield "speed", _speed(record), ""
    if metric := record["metric"]:
        name = metric["name"].replace("bits_per_dim", "bits/dim")
        text = f"[bold]{metric['value']:.4g}[/]"
        if metric["change"] is not None:
            noun = "step" if metric["over_steps"] == 1 else "steps"
            over = f"over {steps(metric['over_steps'])} {noun}"
            text += f"  {_change(metric)} [{FAINT}]{over}[/]"
        yield name, text, ""
        yield "", sparkline(metric["history"]), ""
    if best := record["validation"]:
        text = f"best {best['best']:.4g} at step {steps(best['step'])}"
        yield "validation", f"{text}, last {best['last']:.4g}", ""
    yield "checkpoint", _checkpoint(record), ""
    if record["devices"]:
        text = f"{record['devices']} × {record['device']}"
        if (record["processes"] or 1) > 1:
            text += f", {record['processes']} processes"
        yield "machine", escape(f"{text}; {record['host']}, pid {record['pid']}"), ""
    if record["sessions"]:
        restarts = record["sessions"] - 1
        times = "once" if restarts == 1 else f"{restarts} times"
        text = f"{record['sessions']}" + (f", restarted {times}" if restarts else "")
        yield "sessions", f"{text}; the last began {_moment(record['started'])}", ""
    yield "last sign", f"{duration(record['last_sign_seconds'])} ago", ""
    yield "disk", f"{size(record['disk_free_bytes'])} free", ""
    results = record["results"] or {}
    bits = results.get("bits_per_dim", {}).get(results.get("in_distribution"))
    yield "test", f"{bits:.3f} bits/dim" if isinstance(bits, float) else "", ""
    areas = list(results.get("auroc", {}).items())[:MOST]
    yield "AUROC", escape(", ".join(f"{name} {area:.3f}" for name, area in areas)), ""
    for note in record["notes"]:
        yield "note", escape(note), WAITING
    for warning in record["warnings"][-MOST:]:
        text = f"{_moment(warning['time'])}  {warning['message']}"
        yield "warning", escape(text), WAITING


def _eta(record: dict) -> tuple[str, str]:
    left = record["eta_seconds"]
    if left is None:
        return "ETA", ""
    if record["state"] not in ("running", "silent"):
        return "left", f"{duration(left)} of training"
    end = datetime.fromtimestamp(time.time() + left)
    when = f"{end:%H:%M}" if left < 12 * 3600 else f"{end:%a %d %b, %H:%M}"
    return "ETA", f"{duration(left)}, at {when}"


def _speed(record: dict) -> str:
    parts = []
    if record["steps_per_second"]:
        parts.append(f"{number(record['steps_per_second'])} steps/s")
    if record["images_per_second"]:
        loss = record["metric"] and record["metric"]["name"] == "loss"
        kind = "examples" if loss else "images"
        parts.append(f"{number(record['images_per_second'])} {kind}/s")
    if record["input_wait"] is not None:
        parts.append(f"{100 * record['input_wait']:.1f} % waiting for input")
    return " · ".join(parts)


def _change(metric: dict) -> str:
    """`↓ 0.021`; `→` where it is within its noise, nothing where it is not known."""
    if metric["change"] is None:
        return ""
    if not metric["clear"]:
        return "→"
    return f"{'↓' if metric['change'] < 0 else '↑'} {abs(metric['change']):.2g}"


def _checkpoint(record: dict) -> str:
    newest = record["checkpoint"]
    if newest is None:
        return f"[{FAINT}]none yet[/]"
    state, style = {
        True: ("whole", GOOD),
        False: ("damaged", WRONG),
        None: ("no manifest", WAITING),
    }[newest["intact"]]
    others = ", ".join(steps(s) for s in record["checkpoints"][:-1])
    also = f"[{FAINT}]; also {others}[/]" if others else ""
    return (
        f"step {steps(newest['step'])}, {duration(newest['age_seconds'])} ago, "
        f"{size(newest['bytes'])}, [{style}]{state}[/]{also}"
    )


def _moment(time_of: str) -> str:
    """`2025-03-01 09:30Z` of an event's time."""
    return time_of[:16].replace("T", " ") + "Z"


# --- several runs ------------------------------------------------------------------


def table(records: list[dict], width: int) -> RenderableType:
    """One row per run, in `width` columns of the terminal."""
    columns = _columns(records, width >= WIDE)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style=FAINT)
    shown.add_column("run", no_wrap=True)
    taken, cells = 0, []
    for heading, justify, cell in columns:
        shown.add_column(heading, justify=justify, no_wrap=True)
        cells.append([cell(record) for record in records])
        taken += max(map(len, (heading, *cells[-1]))) + GAP
    # names alone give way; the table's own margins are as wide as two gaps
    most = max(width - taken - 2 * GAP, SHORTEST)
    for record, *row in zip(records, *cells, strict=True):
        shown.add_row(Text(_shortened(record["name"], most)), *row)
    return Group(shown, *_messages(records), _total(records))


def _columns(records: list[dict], wide: bool) -> list[tuple]:
    """`(heading, justify, cell of a record)` of the columns after the name."""

    def metric(record):
        metric = record["metric"]
        arrow = metric and (_change(metric)[:1] or " ")
        return Text(f"{metric['value']:.4g} {arrow}" if metric else "")

    def eta(record):
        alive = record["state"] in ("running", "silent")
        return Text(duration(record["eta_seconds"]) if alive else "")

    def step(record):
        planned = f" of {steps(record['num_steps'])}" if wide else ""
        return Text(steps(record["step"]) + planned)

    def speed(record):
        rate = record["images_per_second"]
        return Text(number(rate) if rate else "")

    def devices(record):
        count = record["devices"]
        return Text(f"{count} × {record['device']}" if count else "")

    def saved(record):
        newest = record["checkpoint"]
        if newest is None:
            return Text("never")
        return Text(age(newest["age_seconds"]), style=WRONG if newest["damage"] else "")

    names = {r["metric"]["name"] for r in records if r["metric"]}
    columns = [
        ("state", "left", _state),
        ("step", "right", step),
        ("done", "right", lambda record: Text(percent(record["fraction"]))),
        ("ETA", "right", eta),
        ("bits/dim" if names == {"bits_per_dim"} else "loss", "right", metric),
    ]
    if wide:
        columns += [("images/s", "right", speed), ("devices", "left", devices)]
    return [*columns, ("last saved", "right", saved)]


def _shortened(name: str, most: int) -> str:
    """The name, its middle left out where it is longer than `most`."""
    if len(name) <= most:
        return name
    # the end tells runs apart better than the beginning
    end = 2 * (most - 1) // 3
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _messages(records: list[dict]) -> list[RenderableType]:
    """Attention, notes and the last warning of each run."""
    lines = []
    for record in records:
        messages = [(message, WRONG) for message in record["attention"]]
        messages += [(note, WAITING) for note in record["notes"]]
        if record["warnings"]:
            before = len(record["warnings"]) - 1
            more = f" (and {before} before)" if before else ""
            messages.append((record["warnings"][-1]["message"] + more, WAITING))
        for message, style in messages:
            line = Text.assemble((f"{record['name']}: ", "bold"), (message, style))
            lines.append(Padding(line, (0, 0, 0, 1)))
    return [*lines, Text()] if lines else []


def _total(records: list[dict]) -> RenderableType:
    counts = Counter(record["state"] for record in records)
    parts = [", ".join(f"{n} {state}" for state, n in counts.items())]
    left = [r["eta_seconds"] or 0 for r in records if r["state"] == "running"]
    if any(left):
        parts.append(f"those running end within {duration(max(left))}")
    free = min(r["disk_free_bytes"] for r in records)
    parts.append(f"{size(free)} of disk free")
    text = Text(f"{len(records)} runs: {'; '.join(parts)}", style=FAINT)
    return Padding(text, (0, 0, 1, 1))
