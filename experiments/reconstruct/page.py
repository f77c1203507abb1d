"""table.md, reconstruct.html and reconstruct.png: the numbers of results.json."""

from flowjax_ood import figures
from flowjax_ood.interface import text
from flowjax_ood.interface.document import Document

# sets of the figure, besides those in-distribution and the outliers
SHOWN = ("other optics", "noise x4", "inverted")

ABOUT = """\
A volume is a stack of images. A measurement is its views from several directions: in
a view each plane is shifted by its disparity, planes add up, and noise comes on top.
A conditional wavelet flow reconstructs the volume from the views, and its likelihood
of a volume given the views is the certificate: a p-value by pairs held out says
whether both belong together as those of training do. It certifies pairs, not a
measurement alone: the reference volume has to come from elsewhere, such as a slow
deconvolution.

Of the first four sets the views do not belong to the volume as in training. Of the
others they do, and it is the contents that are new. Nothing was chosen by looking at
these sets. Learning rate and kernel were chosen by likelihood and PSNR of test
clothing, which flatters both a little there. No score is flipped: where outliers are
likelier than what was learnt, the one-sided AUROC is below 0.5.

Where the optics are known, no flow is needed to see that a measurement does not belong
to a volume: the row "known optics" compares it with the views of that volume. What a
learnt likelihood can add is to do so from pairs alone, where nobody knows the optics,
and to see that the contents are new, which that row cannot."""
SCORES = (
    ("couplings", "log p(details | coarse volume, views) of a flow with couplings"),
    (
        "affine",
        "the same of a flow without: regression with variances of voxels",
    ),
    ("local linear", "the same, in closed form, of a mean linear in patches of views"),
    (
        "residual",
        "minus the squared error of the views of the reconstruction: it sees no volume",
    ),
    (
        "known optics",
        "minus the squared error of the views of the volume: nothing is learnt",
    ),
    ("PCA Gaussian", "log p(volume) of 128 principal components: it sees no views"),
)
CERTIFICATE = """\
AUROC of the score, higher for pairs like those of training, with its 95 % interval;
then of the two-sided p-value, which is small at either end."""
ALARMS = """\
Share of pairs with p <= 0.05. Of the test pairs it is a false alarm: the share is
in the interval for 95 % of calibration and test sets of these sizes (beta-binomial)."""
RECONSTRUCTION = """\
PSNR of the volume reconstructed from the views alone, in dB of a peak of 1. Where
the reference volume is not the one that was seen, it is low for that reason."""
STREAM = """\
Frames come one by one, and from some frame on the optics have other disparities. A
monitor bets on the p-values of log p. Delay: the median of random orders of the
frames on either side of the change, of those without an earlier alarm; a dash where
most missed it. The same frames are in all orders: the spread over frames is not in
these numbers."""
ADAPTED = """\
After the alarm new pairs are gathered, some to train by and others to calibrate by. By
the latter, p-values are uniform for any score, adapted or not, that was not fitted to
them: they rank new optics among new optics. That log p is back where it was shows by
the old calibration. A monitor starts anew with either. Same: the p-value of a
Kolmogorov-Smirnov test that scores and calibration have one law.

The flow that is trained anew has a handicap beyond its few pairs: as many steps as fine
tuning, which goes on from a flow that is trained to its end. A gap between them is of
pairs and steps together. The linear control is solved to the end both times."""


def figure(results: dict, shown: dict):
    """Draw wealth of results.json, and `{set: (views, volume, reconstruction)}`."""
    stream = results["stream"]
    c = results["config"]["light_field"]
    names = [results["in_distribution"], *SHOWN, *results["outliers"]]
    names = [n for n in names if n in shown][: len(figures.OOD_COLORS)]
    flows = stream["adapted"][:3]
    again = {of["name"]: of["p_old"]["log10_wealth"] for of in flows}
    again["fine-tuned, calibrated anew"] = flows[1]["p_new"]["log10_wealth"]
    return figures.light_field_panels(
        {name: shown[name] for name in names},
        {n: of["log10_wealth"] for n, of in stream["watched"].items()},
        again,
        change=c["stream_before"],
        alarm=c["alarm"],
        id_name=results["in_distribution"],
    )


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    c = results["config"]["light_field"]
    rows, sets = results["rows"], results["sets"]
    test = results["in_distribution"]
    page = Document("Certified reconstruction", f"volumes of {test} images")
    page.text(ABOUT)
    page.facts(
        {
            "volume": " x ".join(map(str, results["volume_shape"])),
            "views": c["views"],
            "training pairs": c["train_volumes"],
            "calibration pairs": c["calibrate_volumes"],
            "pairs of each set": c["test_volumes"],
            "steps of each level": c["steps"],
        }
    )
    if picture is not None:
        alt = "views, volumes and reconstructions; wealth of monitors of a stream"
        page.figure(picture, "Reconstructions by couplings, and a stream", alt)
    headers = ["score", "higher for pairs like those of training"]
    page.section("Scores").table(headers, SCORES, "All are of one pair", "ll")
    page.section("Certificate").text(CERTIFICATE)
    for key, caption in (
        ("auroc", "One-sided: high is in-distribution"),
        ("auroc_two_sided", "Two-sided"),
    ):
        lines = [[n, *(_area(r["sets"][n][key]) for r in rows)] for n in sets]
        page.table(["set", *(r["name"] for r in rows)], lines, caption)
    page.section("Decisions").text(ALARMS)
    for side, key, caption in (
        ("low", "found", "One-sided p-values"),
        ("two", "found_two_sided", "Two-sided p-values"),
    ):
        low, high = rows[0]["promised"][side][1:]
        own = f"{test}, in [{text.share(low)}, {text.share(high)}]"
        lines = [[own, *(text.share(r["false_alarms"][side]) for r in rows)]]
        lines += [[n, *(text.share(r["sets"][n][key]) for r in rows)] for n in sets]
        page.table(["set", *(r["name"] for r in rows)], lines, caption)
    page.section("Reconstruction").text(RECONSTRUCTION)
    known = [r for r in rows if r["psnr"] is not None]
    lines = [[n, *(f"{r['psnr'][n]:.1f}" for r in known)] for n in (test, *sets)]
    caption = (
        "PSNR, dB; the mean training volume has "
        f"{results['mean_volume_psnr']:.1f} on {test}"
    )
    page.table(["set", *(r["name"] for r in known)], lines, caption)
    page.table(
        ["score", "mean of the test pairs"],
        [[r["name"], f"{r['mean_score']:,.4g}"] for r in rows],
        "Scores: log p of the details given views, or of the volume, in nats",
    )
    _stream(page, results["stream"], c)
    return page


def _stream(page: Document, stream: dict, c: dict) -> None:
    page.section("A stream whose optics change").text(STREAM)
    lines = [
        [
            name,
            "–" if of["alarm_at"] is None else of["alarm_at"],
            text.share(of["early"]),
            _delay(of["median_delay"]),
            text.share(of["missed"]),
        ]
        for name, of in stream["watched"].items()
    ]
    headers = ["score", "alarm in frame", "alarms before", "median delay", "missed"]
    caption = f"The optics change after frame {c['stream_before']}"
    page.table(headers, lines, caption)
    page.section("Adaptation").text(ADAPTED)
    lines = [
        [of["name"], f"{of['psnr']:.1f}", f"{of['psnr_old_optics']:.1f}"]
        for of in stream["adapted"]
    ]
    headers = ["flow", "PSNR, new optics", "PSNR, old optics"]
    kinds = {"p_old": "old calibration", "p_new": "new calibration"}
    caption = (
        f"On {c['stream_after']} frames of the new optics, after {c['adapt_pairs']} "
        f"pairs to train by and {c['recalibrate_pairs']} to calibrate by"
    )
    page.table(headers, lines, caption)
    lines = [
        [
            of["name"],
            kind,
            text.share(of[key]["found"]),
            f"{of[key]['same']:.2g}",
            "–" if of[key]["alarm_at"] is None else of[key]["alarm_at"],
        ]
        for of in stream["adapted"]
        for key, kind in kinds.items()
    ]
    headers = ["flow", "p-values by", "p <= 0.05", "same", "alarm in frame"]
    page.table(headers, lines, "p-values of the same frames", "llrrr")


def print_results(results: dict) -> None:
    """Print AUROC of couplings and the linear control, PSNR, and what was mended."""
    rows = [results["rows"][0], results["rows"][2]]
    headers = ["set"]
    for row in rows:
        headers += [f"{row['name']}, one-sided", "two-sided", "PSNR"]
    lines = []
    for name in results["sets"]:
        line = [name]
        for row in rows:
            of = row["sets"][name]
            line += [f"{of['auroc'][0]:.3f}", f"{of['auroc_two_sided'][0]:.3f}"]
            line += [f"{row['psnr'][name]:.1f}"]
        lines.append(line)
    title = "Certificate: AUROC, and PSNR in dB"
    text.print_table(headers, lines, title=title, width=120)
    lines = [
        [of["name"], f"{of['psnr']:.1f}", f"{of['psnr_old_optics']:.1f}"]
        for of in results["stream"]["adapted"]
    ]
    text.print_table(["flow", "PSNR, new optics", "PSNR, old"], lines, title="Adapted")


def _area(ends: list[float]) -> str:
    value, low, high = ends
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def _delay(delay: float | None) -> str:
    return "–" if delay is None else f"{delay:.0f}"
