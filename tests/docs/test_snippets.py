"""Every Python snippet runs as it stands, in the order of its page."""

import pytest

from tests.docs.manual import NAMES, blocks, read, results

WITH_SNIPPETS = [name for name in NAMES if blocks(read(name), "python")]


def run(name: str) -> dict:
    """The names that a page's snippets define, pasted one after another."""
    namespace = {"__name__": "snippets"}
    for block in blocks(read(name), "python"):
        exec(compile(block, name, "exec"), namespace)
    return namespace


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [name for name in WITH_SNIPPETS if name != "docs/expected_on_pods.md"]
)
def test_snippets_run(name, tmp_path, monkeypatch):
    # some write files
    monkeypatch.chdir(tmp_path)
    run(name)


def test_the_arithmetic_of_pods_gives_the_results():
    names = run("docs/expected_on_pods.md")
    assert names["per_image"] > 0
    models = {  # parameters, statistics, width
        "fashion_mnist_realnvp": (14_707_336, 28_322, 64),
        "cifar10_realnvp": (87_859_080, 93_826, 64),
        "cifar10_glow": (208_932_480, 0, 400),
    }
    machines = {  # devices, peak, bandwidth, columns
        "v5e-256": (256, 197e12 / 3, 200e9, 128),
        "v6e-256": (256, 918e12 / 3, 400e9, 256),
        "h100-8": (8, 494.7e12, 450e9, 1),
    }
    page, rows = read("docs/expected_on_pods.md"), results("expectation")["rows"]
    assert len(rows) == len(models) * len(machines)
    for row in rows:
        parameters, statistics, width = models[row["model"]]
        # the page gives them, too
        arguments = (
            f"| {parameters:,} | {statistics:,} | {row['gflop_per_image']:.12g} |"
        )
        assert arguments in page
        found = names["expect"](
            parameters,
            statistics,
            1e9 * row["gflop_per_image"],
            width,
            *machines[row["machine"]],
        )
        keys = ("compute_ms", "all_reduce_ms", "images_per_second")
        assert found == pytest.approx([row[key] for key in keys])
