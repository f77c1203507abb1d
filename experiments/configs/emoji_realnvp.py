"""RealNVP on the emoji that the package has, with the paper's colour hyper-parameters.

    python -m experiments train --config=experiments/configs/emoji_realnvp.py \
        --workdir=runs/emoji_realnvp

Needs no other data. Trains on 1,074 pictures of people; others, of other bases, are
held out, and things, hands, flags, clothing and digits are outliers (docs/data.md).
87,859,080 parameters are far too many for so few images: use `:cpu`.

`:cpu`: a small flow, 500 steps of 1.5 s of processor time. `:smoke`: a minute.
"""

from experiments.configs.shared import emoji, images


def get_config(variant: str = ""):
    return emoji.embedded(
        images.color_real_nvp("emoji", emoji.OOD, variant, emoji.TEST, emoji.TRAIN)
    )
