"""The tables that `inspect` prints."""

from collections.abc import Mapping

from experiments.core.text import MISSING, decimals, print_table

TERMS = {"log_prob": "log p(x)", "log_pz": "log p(z)", "logdet": "logdet"}


def print_tables(content: Mapping) -> None:
    """Print everything of inspect.json that is a number a reader looks for first."""
    _couplings(content)
    _terms(content)
    _visibility(content)
    if content["coadaptation"]["sets"] is not None:
        _coadaptation(content["coadaptation"])
    else:
        why = content["coadaptation"]["why_not"]
        print(f"co-adaptation: not measured. {why}")


def _print(title: str, left: tuple, right: tuple, rows: list) -> None:
    print_table((*left, *right), rows, title=title, left=len(left), width=100)


def _couplings(content):
    sets, rows = content["couplings"]["sets"], []
    measures = {"correlation": "corr", "r2": "R²", "r2_linear": "R² lin."}
    measures |= {"mean_s": "s", "logdet": "logdet"}
    for k, layer in enumerate(content["couplings"]["layers"]):
        event = "x".join(map(str, layer["shape"]))
        for n, (name, measured) in enumerate(sets.items()):
            first = (str(k + 1), event) if n == 0 else ("", "")
            rows.append([*first, name, *(_number(measured[k][m]) for m in measures)])
    _print(
        "couplings: −t against what they change; s and logdet in nats",
        ("coupling", "event", "set"),
        tuple(measures.values()),
        rows,
    )


def _terms(content):
    rows = []
    for mode, found in content["likelihood_terms"].items():
        for n, (name, values) in enumerate(found["sets"].items()):
            row = [_number(values[f"{t}_bits_median"]) for t in TERMS]
            areas = found["auroc"].get(name)
            row += [_number(areas[t]["value"]) if areas else "" for t in TERMS]
            rows.append([mode if n == 0 else "", name, *row])
        rows.append(None)
    _print(
        "log p(x) = log p(z) + logdet: medians, bits/dim on [0, 1); AUROC by each",
        ("batch norm", "set"),
        (*TERMS.values(), *(f"by {t}" for t in TERMS.values())),
        rows,
    )


def _visibility(content):
    rows, keys = [], ("correlation", "correlation_others", "identified")
    draws = content["options"]["draws"]
    named = {"one_draw": "one draw", "mean": f"mean of {draws}"}
    for latents, modes in content["latents"].items():
        for mode, sets in modes.items():
            for name, v in sets.items():
                values = [_number(v.get(k)) for k in keys]
                rows.append([mode, name, named[latents], *values])
    _print(
        "edges of an image in its latents: correlation of local structures",
        ("batch norm", "set", "latents"),
        ("own image", "other images", "identified"),
        rows,
    )


def _coadaptation(content):
    rows, depth, sets = [], content["depth"], content["sets"]
    for act in next(iter(sets.values())):
        for name, found in sets.items():
            for k, layer in list(enumerate(found[act]))[depth : depth + 2]:
                own, donor = layer["own"], layer["donor"] or {}
                values = [own["r2"], donor.get("r2"), own["correlation_within"]]
                values += [donor.get("correlation_within"), layer["mean_s"]]
                rows.append([act, name, str(k + 1), *map(_number, values)])
        rows.append(None)
    _print(
        f"co-adaptation: after an intervention before coupling {depth + 1}",
        ("intervention", "set", "coupling"),
        ("R²", "R² donor", "corr within", "donor's", "mean s"),
        rows,
    )


def _number(value: float | None) -> str:
    return decimals(value, missing=MISSING)
