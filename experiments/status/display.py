"""`status` for people: a page about one run, or a table of several."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from rich import box, markup
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flowjax_ood.interface.text import (
    age,
    duration,
    number,
    percent,
    size,
    sparkline,
    steps,
)
from flowjax_ood.runtime.messages import printable

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
MOST_LINES = 5
# columns of the table after the name, keys of `_brief`, by the terminal's width
NARROW = ("state", "step", "done", "ETA", "metric", "last saved")
WIDE = ("state", "steps", *NARROW[2:5], "images/s", "devices", "last saved")
WIDTH = 108
# seconds: years later, no calendar helps
FORESEEN = 1e9
# between columns, and the least that is left of a name
GAP, SHORTEST = 2, 12


def page(record: dict) -> RenderableType:
    """Everything in the record of a run."""
    style = LOOKS[record["state"]][1].replace("bold ", "")
    bar = ProgressBar(
        total=1.0,
        completed=record["fraction"] or 0.0,
        complete_style=style,
        finished_style=style,
    )
    brief = _brief(record)
    done = brief["steps"] if record["stages"] else f"{brief['steps']} steps"
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style=FAINT, no_wrap=True)
    rows.add_column()
    for label, text, style in _facts(record, brief):
        if text:
            rows.add_row(Text(label), Text.from_markup(text, style=style))
    return Group(
        _line(Text(printable(record["workdir"]), style="bold"), brief["state"]),
        _line(bar, Text(f"{done}  {brief['done']}".strip()), padding=2),
        Text(),
        Padding(rows, (0, 0, 1, 2)),
    )


def table(records: list[dict], width: int) -> RenderableType:
    """A row per run, in `width` columns of the terminal."""
    rows = [_brief(record) for record in records]
    names = {record["metric"]["name"] for record in records if record["metric"]}
    loss = "bits/dim" if names == {"bits_per_dim"} else "loss"
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style=FAINT)
    shown.add_column("run", no_wrap=True)
    columns, taken = WIDE if width >= WIDTH else NARROW, 0
    for column in columns:
        heading = {"steps": "step", "metric": loss}.get(column, column)
        words = column in ("state", "devices")
        shown.add_column(heading, justify="left" if words else "right", no_wrap=True)
        taken += max([len(heading), *(len(row[column]) for row in rows)]) + GAP
    # names alone give way; the table's own margins are as wide as two gaps
    most = max(width - taken - 2 * GAP, SHORTEST)
    for record, row in zip(records, rows, strict=True):
        name = Text(_shortened(printable(record["name"]), most))
        shown.add_row(name, *(row[column] for column in columns))
    return Group(shown, *_messages(records), _total(records))


def escape(text: str) -> str:
    """Text of a file, of which the terminal obeys nothing, as rich's markup."""
    return markup.escape(printable(text))


def _brief(record: dict) -> dict[str, Text]:
    """What is known of a run in a few characters: the cells of the table."""
    mark, style = LOOKS[record["state"]]
    rate, newest, metric = (
        record[key] for key in ("images_per_second", "checkpoint", "metric")
    )
    alive, damaged = (
        record["state"] in ("running", "silent"),
        newest and newest["damage"],
    )
    machine = f"{record['devices']} × {record['device']}" if record["devices"] else ""
    step, arrow = steps(record["step"]), metric and (_change(metric)[:1] or " ")
    whole = f"{step} of {steps(record['num_steps'])}"
    if stages := record["stages"]:
        step = whole = f"{stages} stage{'s' if stages > 1 else ''}"
    saved = age(newest["age_seconds"]) if newest else "never"
    return {
        "state": Text(f"{mark} {record['state']}", style=style),
        "step": Text(step),
        "steps": Text(whole),
        "done": Text(percent(record["fraction"])),
        "ETA": Text(duration(record["eta_seconds"]) if alive else ""),
        "metric": Text(f"{metric['value']:.4g} {arrow}" if metric else ""),
        "images/s": Text(number(rate) if rate else ""),
        "devices": Text(printable(machine)),
        "last saved": Text(saved, style=WRONG if damaged else ""),
    }


def _facts(record: dict, brief: dict[str, Text]) -> Iterator[tuple[str, str, str]]:
    """`(label, markup, style)`; the markup is empty where nothing is known."""
    style = LOOKS[record["state"]][1]
    yield "why", escape(record["why"]), style
    for message in record["attention"]:
        if message != record["why"]:
            yield "damage", escape(message), WRONG
    left = record["eta_seconds"]
    if left is not None and brief["ETA"] and left < FORESEEN:
        end = datetime.fromtimestamp(time.time() + left)
        when = f"{end:%H:%M}" if left < 12 * 3600 else f"{end:%a %d %b, %H:%M}"
        yield "ETA", f"{brief['ETA']}, at {when}", ""
    elif left is not None:
        yield "left", f"{duration(left)} of training", ""
    metric, wait = record["metric"], record["input_wait"]
    kind = "examples" if metric and metric["name"] == "loss" else "images"
    speed = []
    if rate := record["steps_per_second"]:
        speed.append(f"{number(rate)} steps/s")
    if brief["images/s"]:
        speed.append(f"{brief['images/s']} {kind}/s")
    if wait is not None:
        speed.append(f"{100 * wait:.1f} % waiting for input")
    yield "speed", " · ".join(speed), ""
    if metric:
        text = f"[bold]{metric['value']:.4g}[/]"
        if metric["change"] is not None:
            noun = "step" if metric["over_steps"] == 1 else "steps"
            over = f"over {steps(metric['over_steps'])} {noun}"
            text += f"  {_change(metric)} [{FAINT}]{over}[/]"
        yield printable(metric["name"]).replace("bits_per_dim", "bits/dim"), text, ""
        yield "", sparkline(metric["history"]), ""
    if best := record["validation"]:
        text = f"best {best['best']:.4g} at step {steps(best['step'])}"
        yield "validation", f"{text}, last {best['last']:.4g}", ""
    yield "checkpoint", _checkpoint(record), ""
    if brief["devices"]:
        processes = record["processes"] or 1
        text = f"{brief['devices']}" + f", {processes} processes" * (processes > 1)
        yield "machine", escape(f"{text}; {record['host']}, pid {record['pid']}"), ""
    if record["sessions"]:
        restarts = record["sessions"] - 1
        times = "once" if restarts == 1 else f"{restarts} times"
        text = f"{record['sessions']}" + f", restarted {times}" * (restarts > 0)
        yield (
            "sessions",
            f"{text}; the last began {escape(_moment(record['started']))}",
            "",
        )
    yield "last sign", f"{duration(record['last_sign_seconds'])} ago", ""
    free = record["disk_free_bytes"]
    yield "disk", f"{size(free)} free" if free is not None else "", ""
    results = record["results"] or {}
    bits = results.get("bits_per_dim", {}).get(results.get("in_distribution"))
    yield "test", f"{bits:.3f} bits/dim" if isinstance(bits, float) else "", ""
    areas = list(results.get("auroc", {}).items())[:MOST_LINES]
    yield "AUROC", escape(", ".join(f"{name} {area:.3f}" for name, area in areas)), ""
    for note in record["notes"]:
        yield "note", escape(note), WAITING
    for warning in record["warnings"][-MOST_LINES:]:
        text = f"{_moment(warning['time'])}  {warning['message']}"
        yield "warning", escape(text), WAITING


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


def _change(metric: dict) -> str:
    """`↓ 0.021`; `→` where it is within its noise, nothing where it is not known."""
    if metric["change"] is None:
        return ""
    if not metric["clear"]:
        return "→"
    return f"{'↓' if metric['change'] < 0 else '↑'} {abs(metric['change']):.2g}"


def _moment(time_of: str) -> str:
    """`2025-03-01 09:30Z` of an event's time."""
    return time_of[:16].replace("T", " ") + "Z"


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
            name = printable(f"{record['name']}: ")
            line = Text.assemble((name, "bold"), (printable(message), style))
            lines.append(Padding(line, (0, 0, 0, 1)))
    return [*lines, Text()] if lines else []


def _line(left: RenderableType, right: RenderableType, padding: int = 0) -> Table:
    line = Table.grid(expand=True, padding=(0, padding))
    line.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _shortened(name: str, most: int) -> str:
    """The name, its middle left out where it is longer than `most`."""
    if len(name) <= most:
        return name
    # the end tells runs apart better than the beginning
    end = 2 * (most - 1) // 3
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _total(records: list[dict]) -> RenderableType:
    counts = Counter(record["state"] for record in records)
    parts = [", ".join(f"{n} {state}" for state, n in counts.items())]
    left = [r["eta_seconds"] or 0 for r in records if r["state"] == "running"]
    if any(left):
        parts.append(f"those running end within {duration(max(left))}")
    # of a bucket it is not known
    known = [free for r in records if (free := r["disk_free_bytes"]) is not None]
    if known:
        parts.append(f"{size(min(known))} of disk free")
    text = Text(f"{len(records)} runs: {'; '.join(parts)}", style=FAINT)
    return Padding(text, (0, 0, 1, 1))
