"""The tables of the page on scores: which numbers of the results each cell shows."""


def scores(rows, *flows):
    """Mean and worst of kinds seen and kept back, flow by flow."""
    measured = [{row["score"]: row for row in flow["rows"]} for flow in flows]
    assert all(flow["lock"]["open"] for flow in flows)
    for name, *_ in rows:
        score = name.removesuffix(" *")
        assert measured[0][score]["control"] == name.endswith(" *")
        blocks = [
            flow[score]["blocks"][block]
            for flow in measured
            for block in ("seen", "kept back")
        ]
        yield [n for b in blocks for n in (b["mean"], b["worst"]["auroc"])]


def several_passes(rows, flow):
    """Time, mean and worst of kinds seen and kept back, and AUROC of digits."""
    measured = {row["score"]: row for row in flow["rows"]}
    for name, *_ in rows:
        row = measured[name.removesuffix(" *")]
        assert row["control"] == name.endswith(" *")
        blocks = [row["blocks"][block] for block in ("seen", "kept back")]
        areas = [n for b in blocks for n in (b["mean"], b["worst"]["auroc"])]
        yield [row["cost_in_passes"], *areas, row["kinds"]["digits"]["auroc"]]


def class_left_out(rows, *flows):
    """AUROC of each flow's own class that it never saw, with its interval."""
    measured = [{row["score"]: row for row in flow["rows"]} for flow in flows]
    for name, *_ in rows:
        score = name.removesuffix(" *")
        assert measured[0][score]["control"] == name.endswith(" *")
        areas = [flow[score]["kinds"]["class_left_out"] for flow in measured]
        yield [n for area in areas for n in (area["auroc"], *area["ci95"])]
