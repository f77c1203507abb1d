"""Glow on the emoji that the package has, with the paper's colour hyper-parameters.

    python -m experiments train --config=experiments/configs/emoji_glow.py \
        --workdir=runs/emoji_glow

Needs no other data. Trains on 1,074 pictures of people; others, of other bases, are
held out, and things, hands, flags, clothing and digits are outliers (docs/data.md).
208,932,480 parameters are far too many for so few images: use `:cpu`.

This recipe is known to blow up (docs/configs.md); `:stable` trains by Adam instead.
`:cpu`: a small flow, 300 steps of 0.7 s of processor time.
`:smoke`, `:stable_smoke`: a minute.
"""

from experiments.configs.shared import emoji, glow


def get_config(variant: str = ""):
    return emoji.embedded(
        glow.color("emoji", emoji.OOD, variant, emoji.TEST, emoji.TRAIN)
    )
