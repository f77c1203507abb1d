"""The tables of the pages on speed: which numbers of the results each cell shows."""

from flowjax_ood.analysis.step_profile import PHASES


def input_pipeline(rows, results):
    shown = [("in memory", 0), ("streamed", 0), ("streamed", 2)]
    for held, workers in shown:
        (row,) = [
            r
            for r in results["rows"]
            if (r["held"], r["read_workers"]) == (held, workers)
        ]
        rates = ("input_images_per_second", "input_images_per_core_second", "ratio")
        yield [row[key] for key in rates]


def pytorch(rows, results):
    for key in ("evaluate", "train"):
        row = results[key]
        rates = [row["pytorch_images_per_second"], row["images_per_second"]]
        yield [*rates, row["ratio"], *row["ratio_range"]]


def peers(rows, results):
    libraries = [r["library"] for r in results["rows"] if r["task"] == "affine"]
    for library in libraries:
        key = "examples_per_second" if library == "flowjax_ood" else "ours_over_this"
        yield [
            row[mode][key]
            for row in results["rows"]
            if (row["library"], row["status"]) == (library, "measured")
            for mode in ("train", "log_prob", "sample")
        ]


def peers_detectors(rows, results):
    theirs = {r["task"]: r for r in results["rows"] if r["library"] == "pytorch-ood"}
    assert len(rows) == len(theirs)
    for name, *_ in rows:
        row = theirs[name]
        yield [row[mode]["ours_over_this"] for mode in ("fit", "score")]


def depth(rows, results):
    found = {(r["model.couplings"], r["stack"]): r for r in results["rows"]}
    stacks = ("chain", "unroll", "scan", "scan+st", "scan+full", "scan+reversible")
    for stack in stacks:
        row, deeper = found[32, stack], found[64, stack]
        yield [
            row["compile_seconds"],
            row["temporary_mib"],
            deeper["compile_seconds"],
            deeper["temporary_mib"],
            row["step_ms_p50"] / 1e3,
        ]


def winograd(rows, results):
    for stack in ("chain", "scan"):
        yield [
            row["images_per_second"]
            for convolution in ("direct", "winograd")
            for row in results["rows"]
            if (row["stack"], row["model.convolution"]) == (stack, convolution)
        ]


def weak_scaling(rows, results):
    for devices in (1, 2, 4, 8):
        found = [
            row[key]
            for parallel in ("jit", "shard_map")
            for row in results["rows"]
            if (row["parallel"], row["devices"]) == (parallel, devices)
            if row["steps_per_call"] == 1
            for key in ("step_ms", "images_per_second", "all_reduce_ms")
        ]
        yield [number for number in found if number is not None]


def compiled_step(rows, results):
    for row in results["rows"]:
        yield [
            row["all_reduces"],
            row["all_reduce_mib"],
            row["argument_mib"],
            row["temporary_mib"],
        ]


def step_profile(rows, *profiles):
    """Milliseconds of each kind by phase, and its share, of each profile."""
    for kind, *_ in rows:
        found = []
        for profile in profiles:
            parts, total = profile["parts"], sum(p["seconds"] for p in profile["parts"])
            times = [
                sum(p["seconds"] for p in parts if (p["kind"], p["phase"]) == place)
                for place in ((kind, phase) for phase in PHASES)
            ]
            found += [*(1e3 * time for time in times), 100 * sum(times) / total]
        yield found


def expectation(rows, results):
    for row in results["rows"]:
        yield [
            row["gflop_per_image"],
            row["compute_ms"],
            row["all_reduce_ms"],
            100 * row["all_reduce_share"],
            row["batch_of_equal_times"],
            row["batch_of_equal_times_at_peak"],
            row["images_per_second"],
        ]


def convolution(rows, results):
    """Training by each algorithm, in the order of the benchmark."""
    for measured in results["rows"][: len(rows)]:
        ratio = [measured[f"ratio{of}"] for of in ("", "_min", "_max")]
        if ratio[1] == ratio[2]:
            ratio = ratio[:1]
        yield [measured["images_per_second"], *ratio, measured["compile_seconds"]]
