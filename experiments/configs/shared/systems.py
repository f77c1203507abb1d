"""What configs of the systems around flows share. Not an experiment itself."""

from ml_collections import ConfigDict


def system_config(
    train: str, test: str, ood: tuple[str, ...], section: str, settings: dict
) -> ConfigDict:
    """A config of embedded images, and of `settings` under the name `section`.

    Args:
        train: `name:split` of the images that all training sees.
        test: `name:split` of the in-distribution images that are scored.
        ood: `name:split` of outliers.
        section: that of the command, see `keys.SYSTEMS`.
        settings: defaults of the keys of that section.
    """
    return ConfigDict(
        {
            "seed": 0,
            "data": {
                # embedded, idx, tfds, ...: see docs/data.md
                "source": "embedded",
                # directory of the files of `source`
                "path": "",
                "train": train,
                "test": test,
                "ood": ood,
                # images of each set; 0 is all
                "limit_train": 0,
                "limit_test": 0,
                # side that images are resized to, and channels they get; 0 is as stored
                "image_size": 0,
                "channels": 0,
            },
            section: settings,
        }
    )
