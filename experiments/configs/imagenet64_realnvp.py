"""RealNVP on ImageNet 64x64, as in the paper's figure 1: CelebA and SVHN are likelier.

    python -m experiments train --config=experiments/configs/imagenet64_realnvp.py \
        --workdir=runs/imagenet64_realnvp

What the paper trained for that figure is not published, neither the recipe nor how
CelebA and SVHN were brought to 64x64. Here it is the paper's recipe for colour images
of 32x32; all images are resized to 64 (shorter side, PIL bilinear) and centre-cropped,
so SVHN is enlarged from 32; and the epochs are those that show as many images as the
CelebA recipe does. 87,859,080 parameters, 13 epochs: about 4.1 EFLOP, 57 hours at a
sustained 20 TFLOP/s.

Needs TFDS's `downsampled_imagenet/64x64` (train 1,281,149 images; the held-out split is
`validation`, 49,999), CelebA and SVHN. The site from which TFDS downloads the first one
no longer serves it (tensorflow/datasets issue 4662). With train_64x64.tar and
valid_64x64.tar from elsewhere, unpacked so that the images are in
DIR/imagenet64/train and DIR/imagenet64/validation, add `--config.data.source=folder
--config.data.path=DIR --config.data.ood_source=tfds`. The training images are held in
memory, 15.7 GB; `--config.data.limit_train=N` takes the first N.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.color_real_nvp(
        "imagenet64", ("celeba:test", "svhn_cropped:test"), variant, test="validation"
    )
    return images.imagenet64(config, variant, epochs=13)
