"""The command `benchmark`: throughput of models, input pipelines and devices."""

import argparse
from pathlib import Path

from experiments.core.options import add_config, add_out
from flowjax_ood.interface.options import directory, number, several, whole_number

MODES = ("train", "evaluate", "sample")
# what a config says by three keys, by one name
STACKINGS = {
    "+".join(filter(None, (stack, option))): {
        "model.stack": stack,
        "model.remat": option if option in ("st", "full") else "none",
        "model.reversible": option == "reversible",
    }
    for stack, options in {
        "chain": ("",),
        "unroll": ("", "st", "full", "reversible"),
        "scan": ("", "st", "full", "reversible"),
    }.items()
    for option in options
}
SUMMARY = "measure the throughput of a config's model on fake images"
EPILOG = f"""\
lists are separated by commas, and every combination is measured:
  --batch=32,64 --mode=train,evaluate
  --vary=model.couplings=4,8,16 --vary=model.width=16,64
  --stack={",".join(("chain", "scan", "scan+full", "scan+reversible"))}

stackings: {", ".join(STACKINGS)}

--data measures the config's own input pipeline in place of its model, and says whether
images come as fast as the training step takes them:
  --data --config.data.streaming=True --vary=data.read_workers=0,2,4
Writes benchmark_data.json, .csv and .md (see experiments/benchmark/input.py).

--devices measures weak scaling of the training step: on the first 1, 2, ... devices,
each with the batch of the config (--batch: per device). On CPU there are as many as
JAX_NUM_CPU_DEVICES says:
  --devices=1,2,4,8 --parallel=jit,shard_map --interleave
Writes weak_scaling.json, .csv and .md (see experiments/benchmark/scaling.py).

--compiled reads the program of the step instead, for as many virtual devices as a pod
has, in the memory of one machine:
  --compiled --devices=8,256 --vary=fsdp=1,8 --config.model.convolution=direct
Writes compiled_step.json, .csv and .md (see experiments/benchmark/compiled.py).

In DIR: benchmark.json and .csv, written anew after every measurement, benchmark.md (the
table), benchmark.png. experiments/benchmark/throughput.py explains numbers and units.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `benchmark`."""
    add = parser.add_argument
    add_config(parser, "such as experiments/configs/fashion_mnist_glow.py:cpu")
    text = "where the results go (default: benchmark)"
    add_out(parser, text, default=Path("benchmark"))
    add("--mode", default=",".join(MODES), help="what is timed (default: all three)")
    for name, text in (
        ("batch", "batch sizes"),
        ("precision", "arithmetic of the st-networks"),
        ("stack", "how couplings are stacked, by the names below"),
        ("parallel", "adapters of the training step: jit, pmap, shard_map"),
    ):
        add(f"--{name}", default="", help=f"{text} (default: the config's)")
    add(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V1,V2,...",
        help="any key of the config, with the values it takes; may be given again",
    )
    add(
        "--seconds",
        type=number(),
        default=2.0,
        help="length of a repeat (default: 2)",
    )
    add(
        "--repeats",
        type=whole_number(1),
        default=5,
        help="of each measurement (default: 5)",
    )
    add(
        "--interleave",
        action="store_true",
        help="compile everything, then measure by turns: ratios hold on a busy machine",
    )
    add(
        "--peak",
        default="",
        metavar="TFLOPS",
        help="TFLOP/s of one device that MFU is stated against, or one for each "
        "precision (default: measured here)",
    )
    add(
        "--data",
        action="store_true",
        help="measure how fast the config's own images are read, and whether the "
        "training step takes them faster",
    )
    add(
        "--need",
        type=number(),
        metavar="RATE",
        help="with --data: images/s that the step takes, of an accelerator that is not "
        "here (default: measured on the devices here)",
    )
    add(
        "--devices",
        type=several(whole_number(1), "1,2,4,8"),
        default=(),
        metavar="N1,N2,...",
        help="weak scaling: time the training step on so many of the devices here",
    )
    add(
        "--compiled",
        action="store_true",
        help="with --devices: compile the training step for so many, and read off the "
        "program what it sends and holds; nothing is run",
    )
    text = "trace a few steps of each there, and write where their time goes"
    add("--profile", type=directory, metavar="DIR", help=text)
