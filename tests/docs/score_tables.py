"""The tables of the page on scores: which numbers of the results each cell shows."""


def scores(rows, *flows):
    """Mean and worst of kinds seen and kept back, flow by flow."""
    assert all(flow["lock"]["open"] for flow in flows)
    for measured in _measured(rows, flows):
        yield [n for row in measured for n in _mean_and_worst(row)]


def several_passes(rows, flow):
    """Time, mean and worst of kinds seen and kept back, and AUROC of digits."""
    for (row,) in _measured(rows, [flow]):
        digits = row["kinds"]["digits"]["auroc"]
        yield [row["cost_in_passes"], *_mean_and_worst(row), digits]


def class_left_out(rows, *flows):
    """AUROC of each flow's own class that it never saw, with its interval."""
    for measured in _measured(rows, flows):
        areas = [row["kinds"]["class_left_out"] for row in measured]
        yield [n for area in areas for n in (area["auroc"], *area["ci95"])]


def _measured(rows, flows):
    """What was measured of the score in each row, flow by flow; * has no flow."""
    by_score = [{row["score"]: row for row in flow["rows"]} for flow in flows]
    for name, *_ in rows:
        measured = [flow[name.removesuffix(" *")] for flow in by_score]
        assert measured[0]["control"] == name.endswith(" *")
        yield measured


def _mean_and_worst(row):
    blocks = [row["blocks"][block] for block in ("seen", "kept back")]
    return [n for block in blocks for n in (block["mean"], block["worst"]["auroc"])]


def generations(rows, compared, trained):
    """Density, and what flows detect by log p(x) and by remedies, flow by flow."""
    by_flow = {row["settings"]["flow"]: row for row in trained["rows"]}
    order = sorted(
        by_flow, key=lambda n: by_flow[n]["bits_per_dim_mean"]["fashion_mnist"]
    )
    assert [name for name, *_ in rows] == order
    for name in order:
        flow, of_runs = compared["flows"][name], by_flow[name]
        likelihood, remedies = flow["rows"]["log p(x)"], flow["rows"]
        yield [
            flow["params"],
            flow["images_seen"],
            *(of_runs[f"bits_per_dim_{n}"]["fashion_mnist"] for n in ("mean", "std")),
            *(of_runs[f"auroc_{n}"]["mnist"] for n in ("mean", "std")),
            likelihood["kinds"]["upside_down"],
            *(likelihood["blocks"][b]["mean"] for b in ("seen", "kept back")),
            *(
                remedies[score]["blocks"]["kept back"]["mean"]
                for score in (
                    "Q 16 of the likelihood map",
                    "flow alone, rank-Gauss",
                    "flow and pixels, rank-Gauss",
                )
            ),
        ]
