"""What a compiled program sends: kinds, arrays and bytes, as XLA writes them."""

import jax
import jax.numpy as jnp

from flowjax_ood.analysis.collectives import Collective, collectives

TEXT = """\
HloModule jit_step, is_scheduled=true
  %r = f32[2,3]{1,0} all-reduce(f32[2,3]{1,0} %x), channel_id=1, to_apply=%add
  %both = (f32[], bf16[4]{0}) all-reduce(f32[] %a, bf16[4]{0} %b), channel_id=2
  %all = u8[8,2]{1,0} all-gather(u8[1,2]{1,0} %c), dimensions={0}
  %part = f32[5]{0} reduce-scatter(f32[40]{0} %d), dimensions={0}
  %four = u4[5]{0} all-to-all(u4[5]{0} %f), dimensions={0}
  %flag = pred[3]{0} collective-permute(pred[3]{0} %e)
  %sum = f32[2,3]{1,0} add(f32[2,3]{1,0} %r, f32[2,3]{1,0} %x)
"""


def test_every_operation_is_found_with_what_a_device_gets():
    assert collectives(TEXT) == [
        Collective("all-reduce", ("f32",), 6, 24),
        Collective("all-reduce", ("f32", "bf16"), 5, 12),
        Collective("all-gather", ("u8",), 16, 16),
        Collective("reduce-scatter", ("f32",), 5, 20),
        Collective("all-to-all", ("u4",), 5, 3),
        Collective("collective-permute", ("pred",), 3, 3),
    ]


def test_a_program_of_one_device_sends_nothing():
    program = jax.jit(lambda x: x @ x).lower(jnp.ones((4, 4))).compile()
    assert collectives(program.as_text()) == []
