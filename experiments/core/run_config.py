"""config.json: the config of a run, kept in its workdir and read again."""

import json
from pathlib import Path

from ml_collections import ConfigDict

import flowjax_ood
from experiments.core.config import check_rooms
from experiments.core.errors import UserError, user_errors, writing
from experiments.core.keys import among, flatten
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_all, on_lead

# What may differ when a run goes on: nothing of this changes what is computed.
# (Other images at another path are refused by their hash.)
MAY_CHANGE = (
    "data.path",
    "data.ood_path",
    "data.streaming",
    "data.read_ahead",
    "data.read_threads",
    "data.read_workers",
    "eval",
    # of a classifier's run: what is fitted to it afterwards
    "detect",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.steps_per_call",
    "fsdp",
)

# What may differ between the processes of one run.
OF_A_HOST = (
    "data.path",
    "data.ood_path",
    "data.read_ahead",
    "data.read_threads",
    "data.read_workers",
)

# Keys that kept configs may lack, at what they were when nobody could set them.
READING = {"streaming": False, "read_ahead": -1, "read_threads": 2, "read_workers": 0}
LATER_KEYS = {
    "data": {"ood_source": (), "ood_path": (), "altered": (), "channels": 0}
    | READING
    | {"validation": 0},
    "train": {
        "negative": "",
        "negative_classes": 0,
        "negative_threshold": -30_000.0,
        "steps_per_call": 1,
        "validate_every": 1000,
        "patience": 0,
        "validate_by": "mean",
    },
    "eval": {"draws": 1},
}
# The same of models, by their name.
LATER_MODEL_KEYS = {"real_nvp": {"norm_group": 0}, "resnet34": {"norm_group": 0}}
# The same of classifiers, which were all LeNets.
LATER_CLASSIFIER_KEYS = {
    "data": READING,
    "optimizer": {
        "schedule": "epoch_decay",
        "boundaries": (150, 250),
        "momentum": 0.9,
        "nesterov": False,
        "reset_momentum": False,
    },
    "train": {"augment": "none", "steps_per_call": 1},
    # what networks do not read, or read anew when they go on
    "exposure": {
        "source": "",
        "place": "",
        "path": "",
        "weight": 0.5,
        "batch_size": 0,
        "num_epochs": 1,
        "num_steps": 0,
        "learning_rate": 1e-3,
        "l2": 5e-4,
    },
    "detect": {
        "fssd_noise": "repository",
        "perturb": True,
        "dropout_passes": 32,
        "corrupted": (),
        "severities": (1, 2, 3, 4, 5),
        "corrupted_images": 500,
    },
}


def keep_config(config: ConfigDict, workdir: Path, free: tuple[str, ...] = ()) -> None:
    """Write config.json, or check that the workdir's own asks for the same run.

    `free`: keys, and rooms, that this run does not read, beside those of `MAY_CHANGE`.

    Raises UserError, changing nothing, if the workdir belongs to another config, holds
    checkpoints of nobody knows which, or cannot be written.
    """
    check_config(config, workdir, free)
    on_lead(lambda: _write(config, workdir))


def check_config(config: ConfigDict, workdir: Path, free: tuple[str, ...] = ()) -> None:
    """The checks of `keep_config`, which write nothing."""
    on_lead(lambda: _check(config, workdir, free))


def check_hosts(config: ConfigDict) -> None:
    """Raise UserError where the processes of a run were started with other configs.

    They would compile other programs, and wait for each other for ever, or average
    what does not belong together. Where each finds its data is its own affair.
    """
    own = {k: repr(v) for k, v in flatten(config).items() if not among(k, OF_A_HOST)}
    own["version"] = flowjax_ood.__version__
    lead = on_lead(lambda: own)
    other = sorted(k for k in own.keys() | lead if own.get(k) != lead.get(k))

    def check():
        if other:
            raise UserError(
                f"this process was started with another config than process 0: "
                f"{', '.join(other)}; start the same command on every host"
            )

    on_all(check)


def _check(config: ConfigDict, workdir: Path, free: tuple[str, ...]) -> None:
    file = workdir / "config.json"
    if file.exists():
        before, now = flatten(read_config(workdir)), flatten(config)
        free += _may_change(now)
        changed = [
            f"{k} ({_value(before, k)} there, {_value(now, k)} now)"
            for k in sorted(before.keys() | now.keys())
            if _value(before, k) != _value(now, k) and not among(k, free)
        ]
        if changed:
            raise UserError(
                f"{workdir} belongs to another config: {'; '.join(changed)}. Give "
                "another --workdir, or the same config to go on"
            )
    elif any(workdir.glob("checkpoints/*")):
        raise UserError(
            f"{workdir} holds checkpoints but no config.json to tell of which run; "
            "restore it, or give another --workdir"
        )


def _write(config: ConfigDict, workdir: Path) -> None:
    file = workdir / "config.json"
    with writing("--workdir", workdir):
        # several processes of one ablation may write it at a time
        text = json.dumps(config.to_dict(), indent=2) + "\n"
        write_bytes(file, text.encode())


def _value(flat: dict, key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"


def _may_change(config: dict) -> tuple[str, ...]:
    """Keys of a run that may be set anew when it goes on."""
    keys = MAY_CHANGE + unread(config)
    if config.get("data.validation", 0) >= 1:
        # images held back, whose scores compare only under the same noise
        keys = tuple(k for k in keys if k != "eval")
        keys += tuple(k for k in config if among(k, ("eval",)) and k != "eval.seed")
    if "detect.networks" not in config:
        # what classifiers drop is drawn where the mode of parallelism has it drawn
        keys += ("parallel",)
    if config.get("optimizer.schedule") == "constant":
        # a longer run is the same run, where no schedule looks at its end
        keys += ("train.num_steps", "train.num_epochs")
    return keys


def unread(config: dict) -> tuple[str, ...]:
    """Keys of a flat config that no run reads, as its other keys are."""
    if config.get("data.validation"):
        return ()
    return ("train.validate_every", "train.patience", "train.validate_by")


def read_config(workdir: Path) -> ConfigDict:
    """The config a run was started with."""
    file = workdir / "config.json"
    if not file.is_file():
        raise UserError(f"{workdir} holds no run (no config.json); train one first")
    remedy = "restore it, or start in a new workdir"
    with user_errors(f"{file} is not JSON", ValueError, remedy=remedy):
        raw = json.loads(file.read_text())
    if not isinstance(raw, dict):
        raise UserError(f"{file} is no config; {remedy}")
    raw = _with_later_keys(raw)
    check_rooms(raw, file)
    return ConfigDict(_tuples(_renamed(raw)))


def _with_later_keys(raw: dict) -> dict:
    """A kept config with the keys it is too old to have."""
    rooms = LATER_KEYS
    if "detect" in raw:
        # classifiers came later than those keys, and have no use for some
        rooms = LATER_CLASSIFIER_KEYS
        raw = {"exposure": {}} | raw
    later = {
        room: keys | raw[room]
        for room, keys in rooms.items()
        if isinstance(raw.get(room), dict)
    }
    return {"fsdp": 1} | raw | later


def _renamed(raw: dict) -> dict:
    """A kept config with its model's keys as they are called now, and all of them."""
    model = dict(raw["model"])
    model = LATER_MODEL_KEYS.get(model.get("name"), {}) | model
    if "dtype" in model:
        dtype = model.pop("dtype")
        # "float32" left it to the accelerator how to multiply: by default, TF32
        old = {"float32": "tensorfloat32"}
        model["precision"] = old.get(dtype, dtype)
        # keys that came with that name, at what they were when nobody could set them
        since = {"stack": "chain", "remat": "none", "reversible": False}
        model = since | {"convolution": "auto"} | model
    return raw | {"model": model}


def _tuples(value):
    """JSON knows no tuples: lists become tuples again."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
