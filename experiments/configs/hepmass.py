"""RealNVP on HEPMASS: one class of collisions trained, the other OOD (appendix K).

    python -m experiments train --config=experiments/configs/hepmass.py:1 \
        --workdir=runs/hepmass1 --config.data.path=DIR

DIR holds UCI's 1000_train.csv and 1000_test.csv (data set 347), plain or as .csv.gz. 15
features remain after the published filtering; 621,024 parameters. `:1` (and "") trains
on the signal, `:0` on the background. `:0_paper` and `:1_paper` are the defaults of the
paper's script: no bound, no validation, coupled L2. `:smoke` runs through in seconds on
fake vectors. The published AUROC is not available.

Not run yet: the files are 1.3 GB, and were not at hand.
"""

from experiments.configs.shared import vectors


def get_config(variant: str = ""):
    # about an epoch of 3.5 million rows, 0.35 million of which are looked at
    return vectors.two_classes("hepmass", variant, validate_every=3000)
