"""Glow on FashionMNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/fashion_mnist_glow.py \
        --workdir=runs/fashion_mnist_glow

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 69,378,048 parameters, 152 epochs:
0.46 EFLOP, about 6.5 hours at a sustained 20 TFLOP/s. The authors' own network
has 3.14 bits/dim on clothing and 2.08 on digits after 80 epochs (by their count, which
is 0.006 higher than ours).

This recipe is known to blow up: users of the paper's code report losses of 1e12 and
NaN after some 15 epochs. Small flows on 8 x 8 images, which stand in for it here, say:

* What explodes is activations, not parameters. The highway st-network has no
  normalisation, so its shift t grows with its input, and couplings in a row multiply.
  Where the loss stood at 1e17 bits/dim, |t| was 3e9, while the scales s (at most 1.04),
  the ActNorms and the 1x1 convolutions (condition number 1.3) were as before. So a
  tighter bound on s would not have helped.
* At the beginning, RMSprop does it: without bias correction, its first step moves each
  parameter by ten learning rates. A rate of 2e-3 diverged within 20 steps and 5e-3
  within 4; with 100 steps of warm-up 2e-3 trained on, as Adam's did without any.
* Later, single batches do it: that run was smooth for 1,750 steps, its kernels growing
  all the while, and then one batch had 57,000 bits/dim and a gradient of 4e15. It was
  clipped, and the run recovered. Adam had no such batch in 1,400 steps, and reached
  4.2 bits/dim against 4.5; one run each.
* This very flow, after 40 steps of 4 images by this recipe, gives a checkerboard
  1.7e13 bits/dim.

Nothing in the recipe prevents this here, either: a run that meets a loss or gradient
that is not finite stops at its last good checkpoint. `:stable` trains the same flow by
Adam with warm-up, cosine decay, averaged parameters and no L2: that avoids the bad
beginning; whether it makes the flow less sensitive to odd images is not known. Neither
recipe has been run at full size yet.

notMNIST as another OOD set: see fashion_mnist_realnvp.py.

`:cpu` is a small flow on the embedded sample, some minutes on two cores; `:smoke` and
`:stable_smoke` run through in a minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.gray("fashion_mnist", "mnist", variant)
