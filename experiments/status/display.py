"""`status` of one run, for people: a page of what is known of it."""

import time
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from experiments.core import text as words

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
# as many as a page shows of the last warnings, and of results
MOST = 5


def state(record: dict) -> Text:
    """The state with its mark, in its colour."""
    mark, style = LOOKS[record["state"]]
    return Text(f"{mark} {record['state']}", style=style)


def page(record: dict) -> RenderableType:
    """All that `status_record.record` says of one run."""
    head = Table.grid(expand=True)
    head.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(Text(record["workdir"], style="bold"), state(record))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style=FAINT, no_wrap=True)
    rows.add_column()
    for label, value in _rows(record):
        rows.add_row(label, value)
    return Group(head, _progress(record), Text(), Padding(rows, (0, 0, 1, 2)))


def _progress(record: dict) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 2))
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    style = LOOKS[record["state"]][1].replace("bold ", "")
    bar = ProgressBar(
        total=1.0,
        completed=record["fraction"] or 0.0,
        complete_style=style,
        finished_style=style,
    )
    done = f"{words.steps(record['step'])} of {words.steps(record['num_steps'])} steps"
    line.add_row(
        bar, "  ".join(filter(None, [done, words.percent(record["fraction"])]))
    )
    return line


def _rows(record: dict) -> list[tuple[str, RenderableType]]:
    """Labels and what is known of each; nothing is said of what is not."""
    rows = []
    if record["why"]:
        rows.append(("why", Text(record["why"], style=LOOKS[record["state"]][1])))
    for message in record["attention"]:
        if message != record["why"]:
            rows.append(("damage", Text(message, style=WRONG)))
    rows += [
        (label, text if isinstance(text, Text) else Text(text))
        for label, text in (
            _eta(record),
            ("speed", _speed(record)),
            _metric(record["metric"]),
            ("", _history(record["metric"])),
            ("validation", _validation(record["validation"])),
            ("checkpoint", _checkpoint(record)),
            ("machine", _machine(record)),
            ("sessions", _sessions(record)),
            ("last sign", f"{words.duration(record['last_sign_seconds'])} ago"),
            ("disk", f"{words.size(record['disk_free_bytes'])} free"),
            *_results(record["results"]),
        )
        if text
    ]
    rows += [("note", Text(note, style=WAITING)) for note in record["notes"]]
    rows += [
        ("warning", Text(f"{_moment(w['time'])}  {w['message']}", style=WAITING))
        for w in record["warnings"][-MOST:]
    ]
    return rows


def _eta(record: dict) -> tuple[str, str]:
    left = record["eta_seconds"]
    if left is None:
        return "ETA", ""
    if record["state"] not in ("running", "silent"):
        return "left", f"{words.duration(left)} of training"
    end = datetime.fromtimestamp(time.time() + left)
    when = f"{end:%H:%M}" if left < 12 * 3600 else f"{end:%a %d %b, %H:%M}"
    return "ETA", f"{words.duration(left)}, at {when}"


def _speed(record: dict) -> str:
    parts = []
    if record["steps_per_second"]:
        parts.append(f"{words.number(record['steps_per_second'])} steps/s")
    if record["images_per_second"]:
        kind = "images"
        if record["metric"] and record["metric"]["name"] == "loss":
            kind = "examples"
        parts.append(f"{words.number(record['images_per_second'])} {kind}/s")
    if record["input_wait"] is not None:
        parts.append(f"{100 * record['input_wait']:.1f} % waiting for input")
    return " · ".join(parts)


def _metric(metric: dict | None) -> tuple[str, str | Text]:
    if metric is None:
        return "loss", ""
    text = Text.assemble((f"{metric['value']:.4g}", "bold"))
    if metric["change"] is not None:
        text.append(f"  {_change(metric)}")
        count = metric["over_steps"]
        noun = "step" if count == 1 else "steps"
        text.append(f" over {words.steps(count)} {noun}", style=FAINT)
    return metric["name"].replace("bits_per_dim", "bits/dim"), text


def _change(metric: dict) -> str:
    """`↓ 0.021`; `→` where it is within its noise, nothing where it is not known."""
    if metric["change"] is None:
        return ""
    if not metric["clear"]:
        return "→"
    return f"{'↓' if metric['change'] < 0 else '↑'} {abs(metric['change']):.2g}"


def _history(metric: dict | None) -> str:
    return words.sparkline(metric["history"]) if metric else ""


def _validation(found: dict | None) -> str:
    if found is None:
        return ""
    best = f"best {found['best']:.4g} at step {words.steps(found['step'])}"
    return f"{best}, last {found['last']:.4g}"


def _checkpoint(record: dict) -> Text:
    found = record["checkpoint"]
    if found is None:
        return Text("none yet", style=FAINT)
    text = Text(f"step {words.steps(found['step'])}, ")
    text.append(f"{words.duration(found['age_seconds'])} ago, ")
    text.append(f"{words.size(found['bytes'])}, ")
    state, style = {
        True: ("whole", GOOD),
        False: ("damaged", WRONG),
        None: ("no manifest", WAITING),
    }[found["intact"]]
    text.append(state, style=style)
    others = [words.steps(s) for s in record["checkpoints"][:-1]]
    if others:
        text.append(f"; also {', '.join(others)}", style=FAINT)
    return text


def _machine(record: dict) -> str:
    if not record["devices"]:
        return ""
    text = f"{record['devices']} × {record['device']}"
    if (record["processes"] or 1) > 1:
        text += f", {record['processes']} processes"
    return f"{text}; {record['host']}, pid {record['pid']}"


def _sessions(record: dict) -> str:
    if not record["sessions"]:
        return ""
    restarts = record["sessions"] - 1
    times = "once" if restarts == 1 else f"{restarts} times"
    text = f"{record['sessions']}" + (f", restarted {times}" if restarts else "")
    return f"{text}; the last began {_moment(record['started'])}"


def _moment(time_of: str) -> str:
    """`2025-03-01 09:30Z` of an event's time."""
    return time_of[:16].replace("T", " ") + "Z"


def _results(found: dict | None) -> list[tuple[str, str]]:
    if not found:
        return []
    bits = found.get("bits_per_dim", {}).get(found.get("in_distribution"))
    areas = [f"{k} {v:.3f}" for k, v in list(found.get("auroc", {}).items())[:MOST]]
    rows = [("test", f"{bits:.3f} bits/dim")] if isinstance(bits, float) else []
    return rows + ([("AUROC", ", ".join(areas))] if areas else [])


# from how many columns on the table has all of its own
WIDE = 108
# between columns, and the least that is left of a name
GAP, SHORTEST = 2, 12


def table(records: list[dict], width: int) -> RenderableType:
    """One row a run, in `width` columns of the terminal."""
    wide = width >= WIDE
    rows = [_cells(record, wide) for record in records]
    columns = list(_headings(records, wide).items())
    taken = sum(
        max(len(heading), *(len(row[k]) for row in rows)) + GAP
        for k, (heading, _) in enumerate(columns)
    )
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style=FAINT)
    shown.add_column("run", no_wrap=True)
    for heading, justify in columns:
        shown.add_column(heading, justify=justify, no_wrap=True)
    # names alone give way; the table's own margins are as wide as two gaps
    room = max(width - taken - 2 * GAP, SHORTEST)
    for record, row in zip(records, rows):
        shown.add_row(Text(_shortened(record["name"], room)), *row)
    return Group(shown, *_messages(records), _sum(records))


def _headings(records: list[dict], wide: bool) -> dict[str, str]:
    """What is in the columns after the name, and on which side."""
    names = {r["metric"]["name"] for r in records if r["metric"]}
    loss = "bits/dim" if names == {"bits_per_dim"} else "loss"
    found = {"state": "left", "step": "right", "done": "right", "ETA": "right"}
    found[loss] = "right"
    if wide:
        found |= {"images/s": "right", "devices": "left"}
    return found | {"last saved": "right"}


def _cells(record: dict, wide: bool) -> list[Text]:
    metric, saved = record["metric"], record["checkpoint"]
    loss = f"{metric['value']:.4g} {_change(metric)[:1] or ' '}" if metric else ""
    step = words.steps(record["step"])
    if wide:
        step += f" of {words.steps(record['num_steps'])}"
    alive = record["state"] in ("running", "silent")
    eta = words.duration(record["eta_seconds"]) if alive else ""
    cells = [step, words.percent(record["fraction"]), eta, loss]
    if wide:
        speed, many = record["images_per_second"], record["devices"]
        cells.append(words.number(speed) if speed else "")
        cells.append(f"{many} × {record['device']}" if many else "")
    age = words.age(saved["age_seconds"]) if saved else "never"
    style = WRONG if saved and saved["damage"] else ""
    return [state(record), *map(Text, cells), Text(age, style=style)]


def _shortened(name: str, room: int) -> str:
    """The name, its middle left out where it is longer than `room`."""
    if len(name) <= room:
        return name
    # the end tells runs apart better than the beginning
    end = 2 * (room - 1) // 3
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def _messages(records: list[dict]) -> list[RenderableType]:
    """What needs attention, and is good to know, run by run."""
    lines = []
    for record in records:
        found = [(message, WRONG) for message in record["attention"]]
        found += [(note, WAITING) for note in record["notes"]]
        if record["warnings"]:
            before = len(record["warnings"]) - 1
            more = f" (and {before} before)" if before else ""
            found.append((record["warnings"][-1]["message"] + more, WAITING))
        for message, style in found:
            line = Text.assemble((f"{record['name']}: ", "bold"), (message, style))
            lines.append(Padding(line, (0, 0, 0, 1)))
    return [*lines, Text()] if lines else []


def _sum(records: list[dict]) -> RenderableType:
    counts: dict[str, int] = {}
    for record in records:
        counts[record["state"]] = counts.get(record["state"], 0) + 1
    parts = [", ".join(f"{n} {name}" for name, n in counts.items())]
    left = [r["eta_seconds"] for r in records if r["state"] == "running"]
    if any(left):
        longest = max(seconds for seconds in left if seconds is not None)
        parts.append(f"those running end within {words.duration(longest)}")
    free = min(r["disk_free_bytes"] for r in records)
    parts.append(f"{words.size(free)} of disk free")
    text = Text(f"{len(records)} runs: {'; '.join(parts)}", style=FAINT)
    return Padding(text, (0, 0, 1, 1))
