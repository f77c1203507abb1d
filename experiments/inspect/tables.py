"""The tables that `inspect` prints."""

from collections.abc import Mapping

TERMS = {"log_prob": "log p(x)", "log_pz": "log p(z)", "logdet": "logdet"}


def print_tables(content: Mapping) -> None:
    """Everything of inspect.json that is a number a reader looks for first."""
    from rich.console import Console

    console = Console(width=max(100, Console().width))
    for table in (_couplings(content), _terms(content), _visibility(content)):
        console.print(table)
    if content["coadaptation"]["sets"] is not None:
        console.print(_coadaptation(content["coadaptation"]))
    else:
        why = content["coadaptation"]["why_not"]
        console.print(f"co-adaptation: not measured. {why}", markup=False)


def _table(title: str, left: tuple, right: tuple):
    from rich.table import Table

    table = Table(title=title)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _couplings(content):
    sets = content["couplings"]["sets"]
    measures = {
        "correlation": "corr",
        "r2": "R²",
        "r2_linear": "R² lin.",
        "mean_s": "s",
    }
    measures |= {"logdet": "logdet"}
    table = _table(
        "couplings: −t against what they change; s and logdet in nats",
        ("coupling", "event", "set"),
        tuple(measures.values()),
    )
    for k, layer in enumerate(content["couplings"]["layers"]):
        event = "x".join(map(str, layer["shape"]))
        for n, (name, measured) in enumerate(sets.items()):
            first = (str(k + 1), event) if n == 0 else ("", "")
            values = [_number(measured[k][m]) for m in measures]
            table.add_row(*first, name, *values)
    return table


def _terms(content):
    table = _table(
        "log p(x) = log p(z) + logdet: medians, bits/dim on [0, 1); AUROC by each",
        ("batch norm", "set"),
        (*TERMS.values(), *(f"by {t}" for t in TERMS.values())),
    )
    for mode, found in content["likelihood_terms"].items():
        for n, (name, values) in enumerate(found["sets"].items()):
            row = [_number(values[f"{t}_bits_median"]) for t in TERMS]
            areas = found["auroc"].get(name)
            row += [_number(areas[t]["value"]) if areas else "" for t in TERMS]
            table.add_row(mode if n == 0 else "", name, *row)
        table.add_section()
    return table


def _visibility(content):
    draws = content["options"]["draws"]
    table = _table(
        "edges of an image in its latents: correlation of local structures",
        ("batch norm", "set", "latents"),
        ("own image", "other images", "identified"),
    )
    named = {"one_draw": "one draw", "mean": f"mean of {draws}"}
    for what, modes in content["latents"].items():
        for mode, sets in modes.items():
            for name, v in sets.items():
                keys = ("correlation", "correlation_others", "identified")
                values = [_number(v.get(k)) for k in keys]
                table.add_row(mode, name, named[what], *values)
    return table


def _coadaptation(content):
    depth = content["depth"]
    table = _table(
        f"co-adaptation: after an intervention before coupling {depth + 1}",
        ("intervention", "set", "coupling"),
        ("R²", "R² donor", "corr within", "donor's", "mean s"),
    )
    sets = content["sets"]
    for act in next(iter(sets.values())):
        for name, found in sets.items():
            for k, layer in list(enumerate(found[act]))[depth : depth + 2]:
                own, donor = layer["own"], layer["donor"] or {}
                values = [own["r2"], donor.get("r2"), own["correlation_within"]]
                values += [donor.get("correlation_within"), layer["mean_s"]]
                table.add_row(act, name, str(k + 1), *map(_number, values))
        table.add_section()
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
