"""Where a program's time goes: what operations are, and whose time is whose."""

import jax
import jax.numpy as jnp
import pytest

from flowjax_ood.analysis.step_profile import (
    _Operation,
    operations,
    own_times,
    parts,
)

# as XLA writes it, shortened
TEXT = """\
HloModule jit_step, is_scheduled=true

%add.1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum.1 = f32[] add(%a, %b)
}

%fused.1 (p: f32[4,8]) -> f32[4,4] {
  %p = f32[4,8]{1,0:T(8,128)} parameter(0)
  %two = f32[4,8]{1,0} multiply(%p, %p), metadata={op_name="jit(step)/mul"}
  ROOT %d = f32[4,4]{1,0} dot(%two, %p), metadata={op_name="jit(step)/jvp(f)/dot"}
}

%fused.2 (q: f32[4,4]) -> (f32[4,4], f32[4,4]) {
  %q = f32[4,4]{1,0} parameter(0), metadata={op_name="args[0]"}
  %t = f32[4,4]{0,1} transpose(%q), dimensions={1,0}
  ROOT %both = (f32[4,4]{1,0}, f32[4,4]{1,0}) tuple(%t, %q)
}

ENTRY %main (x: f32[4,8]) -> f32[] {
  %x = f32[4,8]{1,0} parameter(0), metadata={op_name="args[0]"}
  %fusion.1 = f32[4,4]{1,0} fusion(%x), kind=kLoop, calls=%fused.1
  %fusion.2 = (f32[4,4]{1,0}, f32[4,4]{1,0}) fusion(%fusion.1), calls=%fused.2
  %c = f32[4,4]{1,0} convolution(%fusion.1, %fusion.2), dim_labels=b01f_01io->b01f, \
metadata={op_name="jit(step)/transpose(jvp(f))/conv"}
  %again = f32[4,4]{1,0} convolution(%c, %x), dim_labels=b01f_01io->b01f
  %all = f32[4,4]{1,0} all-reduce-start(%again), to_apply=%add.1
  %done = f32[4,4]{1,0} all-reduce-done(%all)
  %r = f32[] reduce(%done), to_apply=%add.1, metadata={op_name="jit(step)/sum"}
  ROOT %e = f32[] exponential(%r), metadata={op_name="jit(step)/exp"}
}
"""


def test_operations_are_of_the_heaviest_kind_that_they_hold():
    kinds = {name: kind for name, (kind, _) in operations(TEXT).items()}
    expected = {
        "fusion.1": "matrix products",
        "fusion.2": "copies",
        "c": "convolutions",
        "again": "convolutions",
        "all": "collectives",
        "done": "collectives",
        "r": "sums",
        "e": "elementwise",
    }
    assert {name: kinds[name] for name in expected} == expected


# of a GPU and of a TPU
OTHERS = """\
HloModule jit_step

%moved (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %copied = f32[4]{0} copy(%p)
}

ENTRY %main (x: f32[4,8]) -> f32[] {
  %x = f32[4,8]{1,0} parameter(0)
  %conv = (f32[4]{0}, u8[0]{0}) custom-call(%x), dim_labels=b01f_01io->b01f, \
custom_call_target="__cudnn$convForward"
  %gemm = f32[4,4]{1,0} custom-call(%x, %x), custom_call_target="__cublas$gemm"
  %top = f32[4]{0} custom-call(%x), custom_call_target="TopK"
  %shard = f32[4]{0} custom-call(%x), custom_call_target="Sharding"
  %product = f32[4,4]{1,0} convolution(%x, %x), dim_labels=bf_io->bf
  %window = f32[4,4]{1,0} convolution(%x, %x), window={size=3}, dim_labels=b0f_0io->b0f
  %start = ((f32[4]), f32[4], s32[]) async-start(%x), calls=%moved
  %sent = (f32[4], u32[], token[]) send(%x), channel_id=1
  ROOT %e = f32[4]{0} exponential(%top)
}
"""


def test_accelerators_write_it_otherwise():
    known = operations(OTHERS)
    kinds = {name: kind for name, (kind, _) in known.items()}
    expected = {
        "conv": "convolutions",
        "gemm": "matrix products",
        "top": "sums",
        "shard": "other",
        "product": "matrix products",
        "window": "convolutions",
        "start": "copies",
        "sent": "collectives",
        "e": "elementwise",
    }
    assert {name: kinds[name] for name in expected} == expected
    # nothing is differentiated
    assert {phase for _, phase in known.values()} == {"forward"}


def test_what_has_no_origin_comes_after_what_it_reads():
    phases = {name: phase for name, (_, phase) in operations(TEXT).items()}
    assert phases["fusion.1"] == phases["fusion.2"] == "forward"
    assert phases["c"] == phases["again"] == phases["all"] == "backward"
    assert phases["r"] == phases["e"] == "update"


def test_what_holds_others_counts_without_them():
    line = [
        _Operation("loop", 0.0, 10.0),
        _Operation("a", 1.0, 4.0),
        _Operation("b", 2.0, 3.0),
        _Operation("a", 4.0, 6.0),
        _Operation("after", 10.0, 11.0),
    ]
    total = {}
    for name, seconds in own_times(reversed(line)):
        total[name] = total.get(name, 0.0) + seconds
    assert total == {"loop": 5.0, "a": 4.0, "b": 1.0, "after": 1.0}


def loss(w, x):
    y = jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.tanh(y).sum()


def test_the_time_of_a_gradient_is_found(tmp_path):
    w, x = jnp.ones((3, 3, 16, 16)), jnp.ones((16, 32, 32, 16))
    step = jax.jit(lambda w, x: w - jax.grad(loss)(w, x))
    program = step.lower(w, x).compile()
    jax.block_until_ready(program(w, x))
    with jax.profiler.trace(str(tmp_path)):
        for _ in range(2):
            jax.block_until_ready(program(w, x))
    found = parts(tmp_path, program.as_text(), 2)
    # the kernel's, and the loss's
    places = {(part.kind, part.phase) for part in found}
    assert {("convolutions", "backward"), ("convolutions", "forward")} <= places
    assert found == sorted(found, key=lambda part: -part.seconds)
    assert all(part.seconds > 0 for part in found)
    # of another program, nothing
    assert parts(tmp_path, TEXT, 2) == []


def test_without_a_trace_that_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="xplane"):
        parts(tmp_path, TEXT, 1)
