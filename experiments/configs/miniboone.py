"""RealNVP on MiniBooNE: one class of events trained, the other OOD (appendix K).

    python -m experiments train --config=experiments/configs/miniboone.py:1 \
        --workdir=runs/miniboone1 --config.data.path=DIR

DIR holds UCI's MiniBooNE_PID.txt (data set 199). As many events of each class as the
smaller one has; 50 features, 837,184 parameters. `:1` (and "") trains on the signal,
electron neutrinos, `:0` on the background. `:0_paper` and `:1_paper` are the defaults
of the paper's script: no bound, no validation, coupled L2. `:smoke` runs through in
seconds on fake vectors. The published AUROC is not available.

Not run yet: the file was not at hand.
"""

from experiments.configs.shared import vectors


def get_config(variant: str = ""):
    return vectors.two_classes("miniboone", variant)
