"""Numbers in text, listed here by their words, are in their results."""

import pytest

from tests.docs.manual import at, check, read, results

# page, words, results, paths of its numbers
CLOTHING, DIGITS = "fashion_mnist", "mnist"
TEXT = [
    *(
        (
            "docs/library.md",
            words,
            name,
            "auroc/mnist & auroc_ci95/mnist/0 & auroc_ci95/mnist/1",
        )
        for words, name in (
            ("is 0.069 [0.062, 0.077]", "clothing_cpu"),
            ("0.087 [0.079, 0.096] with", "classes_base"),
            ("0.063 [0.056, 0.070] where", "classes_couplings"),
        )
    ),
    ("docs/library.md", "are 5.85,", "clothing_cpu", f"bits_per_dim/{CLOTHING}"),
    ("docs/library.md", ", 5.76\n", "classes_base", f"bits_per_dim/{CLOTHING}"),
    ("docs/library.md", "and 5.86.", "classes_couplings", f"bits_per_dim/{CLOTHING}"),
    ("docs/library.md", "for 64 %", "classes_base", "classification/accuracy%"),
    ("docs/library.md", "23 % of", "classes_couplings", "classification/accuracy%"),
    (
        "README.md",
        "0.079 [0.071, 0.087]",
        "demo",
        "auroc/mnist & auroc_ci95/mnist/0 & auroc_ci95/mnist/1",
    ),
    (
        "docs/paper.md",
        "0.069 [0.062, 0.077], at 5.85 and 4.89",
        "clothing_cpu",
        f"auroc/{DIGITS} & auroc_ci95/{DIGITS}/0 & auroc_ci95/{DIGITS}/1 & "
        f"bits_per_dim/{CLOTHING} & bits_per_dim/{DIGITS}",
    ),
    (
        "docs/paper.md",
        "0.976 [0.971, 0.980]",
        "digits_cpu",
        f"auroc/{CLOTHING} & auroc_ci95/{CLOTHING}/0 & auroc_ci95/{CLOTHING}/1",
    ),
    (
        "docs/paper.md",
        "0.72 on clothing and 0.84 on digits; with other images' latents, by 0.03 and "
        "0.25",
        "inspect_clothing_cpu",
        " & ".join(
            f"latents/mean/evaluation/{name}/{key}"
            for key in ("correlation", "correlation_others")
            for name in (CLOTHING, DIGITS)
        ),
    ),
    (
        "docs/paper.md",
        "AUROC 0.021; log p(z) alone has 0.707",
        "inspect_clothing_cpu",
        f"likelihood_terms/evaluation/auroc/{DIGITS}/logdet/value & "
        f"likelihood_terms/evaluation/auroc/{DIGITS}/log_pz/value",
    ),
    (
        "docs/paper.md",
        "0.96 (first) to 0.69 (last) on clothing, and by 0.97 to 0.72",
        "inspect_checkerboard_cpu",
        " & ".join(
            f"couplings/sets/{name}/{k}/correlation"
            for name in (CLOTHING, DIGITS)
            for k in (0, 7)
        ),
    ),
    (
        "docs/paper.md",
        "(0.975). But",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/batch/auroc/{DIGITS}/log_prob/value",
    ),
    (
        "docs/paper.md",
        "falls to 0.144",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/batch, mixed/auroc/{DIGITS}/log_prob/value",
    ),
    (
        "docs/paper.md",
        "recomputed statistics it is 0.09",
        "inspect_checkerboard_cpu",
        f"likelihood_terms/recomputed/auroc/{DIGITS}/log_prob/value",
    ),
    *(
        ("docs/paper.md", f"{after} |", "negative_cpu", f"auroc/{name}")
        for after, name in (
            ("0.981", f"{CLOTHING} inverted"),
            ("0.382", f"{CLOTHING} dimmed"),
            ("0.515", f"{CLOTHING} upside_down"),
            ("0.999", f"{DIGITS} classes 0-4"),
            ("0.999", f"{DIGITS} classes 5-9"),
        )
    ),
    *(
        ("docs/paper.md", f"| {before} |", "negative_cpu_baseline", path)
        for before, path in (
            ("0.987", f"auroc/{CLOTHING} inverted"),
            ("0.435", f"auroc/{CLOTHING} dimmed"),
            ("0.508", f"auroc/{CLOTHING} upside_down"),
            ("0.067", f"classes_of_mnist/auroc/{DIGITS} classes 0-4"),
            ("0.045", f"classes_of_mnist/auroc/{DIGITS} classes 5-9"),
        )
    ),
    (
        "docs/paper.md",
        "costs 5.92 bits/dim",
        "negative_cpu",
        f"bits_per_dim/{CLOTHING}",
    ),
    (
        "docs/paper.md",
        "instead of 5.22",
        "negative_cpu_baseline",
        f"bits_per_dim/{CLOTHING}",
    ),
    (
        "docs/quickstart.md",
        "by 0.94 on clothing,\nand by 0.92 on digits",
        "demo",
        f"first_coupling/{CLOTHING}/correlation & first_coupling/{DIGITS}/correlation",
    ),
    (
        "docs/quickstart.md",
        "0.09 on clothing and 0.12 on digits",
        "demo",
        f"first_coupling/{CLOTHING}/mean_s & first_coupling/{DIGITS}/mean_s",
    ),
    (
        "docs/configs.md",
        "give 4.606 bits/dim on\nclothing, 3.127 on digits and an AUROC of "
        "0.056 [0.050, 0.063]",
        "glow_cpu",
        f"bits_per_dim/{CLOTHING} & bits_per_dim/{DIGITS} & auroc/{DIGITS} & "
        f"auroc_ci95/{DIGITS}/0 & auroc_ci95/{DIGITS}/1",
    ),
    (
        "docs/configs.md",
        "19,200 images seen, 244 images/s",
        "batchnorm_cpu",
        "images_seen & images_per_second",
    ),
    (
        "docs/performance.md",
        "fast (1.47)",
        "pytorch_cpu",
        "evaluate/with_direct_convolution_ratio",
    ),
    (
        "docs/performance.md",
        "it was slower (0.87)",
        "pytorch_cpu",
        "earlier/train/ratio",
    ),
    (
        "docs/performance.md",
        "(1.52, and 0.96 with",
        "pytorch_cpu",
        "earlier/evaluate/ratio & earlier/evaluate/with_direct_convolution_ratio",
    ),
    (
        "docs/performance.md",
        "trains faster** (0.87)",
        "peers_cpu",
        "rows/3/train/ours_over_this",
    ),
    (
        "docs/data.md",
        "The need, 118 images/s",
        "input_pipeline",
        "rows/0/step_images_per_second",
    ),
    (
        "docs/expected_on_pods.md",
        "FashionMNIST: 2,540 images/s",
        "expectation",
        "rows/0/images_per_second_per_host",
    ),
    (
        "docs/expected_on_pods.md",
        "to 37,205 (",
        "expectation",
        "rows/2/images_per_second_per_host",
    ),
    (
        "docs/expected_on_pods.md",
        "is 0.5 to 7.5 cores",
        "expectation",
        "rows/0/cores_streamed & rows/2/cores_streamed",
    ),
    (
        "docs/expected_on_pods.md",
        "168, 1,006\nand 1,594 MiB",
        "expectation",
        "rows/0/state_mib & rows/3/state_mib & rows/6/state_mib",
    ),
    (
        "docs/expected_on_pods.md",
        "4,933\nimages/s streamed and 2,649,452 in memory",
        "input_pipeline",
        "rows/3/input_images_per_core_second & rows/0/input_images_per_core_second",
    ),
    (
        "docs/decisions.md",
        "FashionMNIST, 69 rows",
        "decide_fashion_mnist",
        "summary/0.01/detectors",
    ),
    (
        "docs/decisions.md",
        "lie between 0.0082\nand 0.0117, and all 69 rows",
        "decide_fashion_mnist",
        "summary/0.01/least & summary/0.01/most & summary/0.01/within_0.002",
    ),
    (
        "docs/decisions.md",
        "share\nof 0.97 lies",
        "decide_fashion_mnist",
        "summary/0.01/splits_inside",
    ),
    (
        "docs/decisions.md",
        "is off by 0.0043, and 51\nrows",
        "decide_fashion_mnist",
        "summary/0.05/largest_difference & summary/0.05/within_0.002",
    ),
    (
        "docs/decisions.md",
        "median of 0.056 at",
        "decide_fashion_mnist",
        "summary/0.05/training/median",
    ),
    (
        "docs/decisions.md",
        "0.103 for shirts",
        "decide_fashion_mnist",
        "by_class_median/6",
    ),
    (
        "docs/decisions.md",
        "0.002 for sneakers",
        "decide_fashion_mnist",
        "by_class_median/7",
    ),
    (
        "docs/decisions.md",
        "missed it in 0.933 of",
        "drift_fashion_mnist",
        "rows/3/monitors/both/changes/without class 3/missed",
    ),
    (
        "docs/decisions.md",
        "fog in 0.996 of",
        "drift_fashion_mnist",
        "rows/2/monitors/power/changes/fog 1, all/missed",
    ),
    (
        "docs/decisions.md",
        "jumper needed 109 images",
        "drift_fashion_mnist",
        "rows/2/monitors/jumper/changes/fog 1, all/median_delay",
    ),
    (
        "docs/new_images.md",
        "(AUROC 0.682 and 0.621), pixels do not see scanned text (0.757); together "
        "they see\n  all three (0.997, 0.950 and 0.974)",
        "novelty",
        "rows/7/kinds/cells/auroc/mean & rows/7/kinds/moon/auroc/mean & "
        "rows/6/kinds/scanned text/auroc/mean & rows/8/kinds/cells/auroc/mean & "
        "rows/8/kinds/moon/auroc/mean & rows/8/kinds/scanned text/auroc/mean",
    ),
    (
        "docs/new_images.md",
        "An AUROC of 0.955 for digits",
        "novelty",
        "rows/2/kinds/digits/auroc/mean",
    ),
    (
        "README.md",
        "mean 0.86, pixels alone 0.80, log p(x) 0.69. A",
        "scores_realnvp",
        "@flow and pixels, rank-Gauss/blocks/kept back/mean & "
        "@pixels alone, rank-Gauss/blocks/kept back/mean & "
        "@log p(x)/blocks/kept back/mean",
    ),
    (
        "README.md",
        "hours (3.42 bits/dim)",
        "clothing_long_realnvp",
        f"bits_per_dim/{CLOTHING}",
    ),
    *(
        ("docs/steal.md", words, "steal", f"detection/{row}/auroc/{name}/mean")
        for words, row, name in (
            ("(AUROC 0.98", 0, "digits"),
            ("against 0.91\n", 8, "digits"),
            ("and 0.96 of", 7, "digits"),
            ("perfectly (1.00)", 11, "upper digits"),
            ("fall to 0.92", 11, "held-out class"),
            ("from 0.98.", 8, "held-out class"),
        )
    ),
    (
        "docs/federated.md",
        "+0.018 over local\n  heads, [-0.004, 0.040]; 24 of 30",
        "federated",
        " & ".join(
            f"rows/4/difference/MSP/other clients' classes/{name}"
            for name in ("mean", "low", "high", "gain", "clients")
        ),
    ),
    (
        "docs/federated.md",
        "real outliers gains 0.096",
        "federated",
        "rows/5/difference/MSP/other clients' classes/mean",
    ),
    (
        "docs/federated.md",
        "pixels has 0.786",
        "federated",
        "rows/6/auroc/MSP/other clients' classes/mean",
    ),
    (
        "docs/monitor.md",
        "gains 0.07 on noise and 0.01 on",
        "monitor",
        "differences/three densities apart/gaussian_noise/difference/0 & "
        "differences/three densities apart/mnist/difference/0",
    ),
    (
        "docs/monitor.md",
        "worth 0.26 on noise\n  and 0.07 on fog",
        "monitor",
        " & ".join(
            f"differences/joint density without explanation/{name}/difference/0"
            for name in ("gaussian_noise", "fog")
        ),
    ),
    (
        "docs/reconstruct.md",
        "(14.1 dB against\n  15.0)",
        "reconstruct",
        "rows/0/psnr/fashion_mnist & rows/2/psnr/fashion_mnist",
    ),
    (
        "docs/reconstruct.md",
        "regression with variances has 15.5 dB",
        "reconstruct",
        "rows/1/psnr/fashion_mnist",
    ),
]


@pytest.mark.parametrize(("page", "words", "name", "paths"), TEXT)
def test_a_number_in_text_is_in_its_results(page, words, name, paths):
    assert words in read(page)
    check(words, [at(results(name), path) for path in paths.split(" & ")])
