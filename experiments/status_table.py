"""`status` of several runs, for people: a table, and what needs attention below it."""

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from experiments import status_words as words
from experiments.status_page import FAINT, WAITING, WRONG, state

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
    loss = f"{metric['value']:.4g} {words.change(metric)[:1] or ' '}" if metric else ""
    step = words.steps(record["step"])
    if wide:
        step += f" of {words.steps(record['num_steps'])}"
    alive = record["state"] in ("running", "silent")
    eta = words.duration(record["eta_seconds"]) if alive else ""
    cells = [step, words.percent(record["fraction"]), eta, loss]
    if wide:
        speed, many = record["images_per_second"], record["devices"]
        cells.append(words.rate(speed) if speed else "")
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
