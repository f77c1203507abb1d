"""The tables that `inspect` prints."""

from collections.abc import Mapping
from functools import partial

from flowjax_ood.interface.text import MISSING, decimals, print_table

TERMS = {"log_prob": "log p(x)", "log_pz": "log p(z)", "logdet": "logdet"}
MEASURES = {
    "correlation": "corr",
    "r2": "R²",
    "r2_linear": "R² lin.",
    "mean_s": "s",
    "logdet": "logdet",
}
_number = partial(decimals, missing=MISSING)


def print_tables(content: Mapping) -> None:
    """Print what a reader of inspect.json looks for first."""
    _couplings(content["couplings"])
    _terms(content["likelihood_terms"])
    _visibility(content["latents"], content["options"]["draws"])
    coadaptation = content["coadaptation"]
    if coadaptation["sets"] is None:
        print(f"co-adaptation: not measured. {coadaptation['why_not']}")
    else:
        _coadaptation(coadaptation["sets"], coadaptation["depth"])


def _print(title: str, left: tuple, right: tuple, rows: list) -> None:
    print_table((*left, *right), rows, title=title, left=len(left), width=100)


def _couplings(content: Mapping) -> None:
    rows = []
    for k, layer in enumerate(content["layers"]):
        event = "x".join(map(str, layer["shape"]))
        for n, (name, measured) in enumerate(content["sets"].items()):
            first = (str(k + 1), event) if n == 0 else ("", "")
            rows.append((*first, name, *(_number(measured[k][m]) for m in MEASURES)))
    _print(
        "couplings: −t against what they change; s and logdet in nats",
        ("coupling", "event", "set"),
        tuple(MEASURES.values()),
        rows,
    )


def _terms(content: Mapping) -> None:
    rows: list[tuple | None] = []
    for mode, terms in content.items():
        for n, (name, values) in enumerate(terms["sets"].items()):
            row = [_number(values[f"{t}_bits_median"]) for t in TERMS]
            areas = terms["auroc"].get(name)
            row += [_number(areas[t]["value"]) if areas else "" for t in TERMS]
            rows.append((mode if n == 0 else "", name, *row))
        rows.append(None)
    _print(
        "log p(x) = log p(z) + logdet: medians, bits/dim on [0, 1); AUROC by each",
        ("batch norm", "set"),
        (*TERMS.values(), *(f"by {t}" for t in TERMS.values())),
        rows,
    )


def _visibility(content: Mapping, draws: int) -> None:
    named = {"one_draw": "one draw", "mean": f"mean of {draws}"}
    keys = ("correlation", "correlation_others", "identified")
    rows = [
        (mode, name, named[what], *(_number(measured.get(k)) for k in keys))
        for what, modes in content.items()
        for mode, sets in modes.items()
        for name, measured in sets.items()
    ]
    _print(
        "edges of an image in its latents: correlation of local structures",
        ("batch norm", "set", "latents"),
        ("own image", "other images", "identified"),
        rows,
    )


def _coadaptation(sets: Mapping, depth: int) -> None:
    rows: list[tuple | None] = []
    for act in next(iter(sets.values())):
        for name, layers in sets.items():
            for k, layer in list(enumerate(layers[act]))[depth : depth + 2]:
                own, donor = layer["own"], layer["donor"] or {}
                values = [own["r2"], donor.get("r2"), own["correlation_within"]]
                values += [donor.get("correlation_within"), layer["mean_s"]]
                rows.append((act, name, str(k + 1), *map(_number, values)))
        rows.append(None)
    _print(
        f"co-adaptation: after an intervention before coupling {depth + 1}",
        ("intervention", "set", "coupling"),
        ("R²", "R² donor", "corr within", "donor's", "mean s"),
        rows,
    )
