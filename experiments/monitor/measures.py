"""All scores of one network's monitor, and what becomes of them over networks."""

from functools import partial
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.pixel_gaussian import NAME as PIXELS
from experiments.core.pixel_gaussian import pixel_gaussian
from experiments.monitor.scenes import RunScenes, exact_log_prob
from flowjax_ood import ood
from flowjax_ood.data import Scenes
from flowjax_ood.data.checks import row_digests
from flowjax_ood.models import TabularRealNVP
from flowjax_ood.ood.detectors.joint import PARTS
from flowjax_ood.ood.paired import difference_of
from flowjax_ood.ood.vector_density import VectorDensity

FIRST, SECOND, BOTH = "layer 1: joint density", "layer 2: context", "both layers"
WITHOUT = {part: f"joint density without {part}" for part in PARTS}
APART = "three densities apart"
MSP, LAYERS = "MSP", "Mahalanobis, layers"
RULE, FREQUENCY = "context's label differs", "class frequency"
EXACT = "exact, of true classes"
ABLATIONS = (*WITHOUT.values(), APART)
# in the order of the table
ROWS = (FIRST, SECOND, BOTH, *ABLATIONS, MSP, LAYERS, PIXELS, RULE, FREQUENCY, EXACT)
# sets of items 0: those usual, and those before and after an exchange
USUAL, BEFORE, AFTER = "clothing", "clothing, of pairs", "exchanged"


class Once(NamedTuple):
    """Scores of the items of many scenes, each image of which is scored once.

    `images [U, ...]` are all that differ, and `rows` where those of each set are.
    """

    images: np.ndarray
    rows: dict[str, np.ndarray]

    @classmethod
    def of(cls, scenes: dict[str, Scenes]) -> "Once":
        number: dict[bytes, int] = {}
        images: list[np.ndarray] = []
        rows = {}
        for name, each in scenes.items():
            at = []
            for image, digest in zip(each.flat, row_digests(each.flat), strict=True):
                if digest not in number:
                    number[digest] = len(images)
                    images.append(image)
                at.append(number[digest])
            rows[name] = np.array(at).reshape(each.labels.shape)
        return cls(np.stack(images), rows)

    def over(self, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Scores `[U, ...]` of the images, as those of all items: `[S, N, ...]`."""
        return {name: scores[rows] for name, rows in self.rows.items()}


def density(config: ConfigDict) -> ood.JointDensity:
    """Make the joint density of a config."""
    c = config.scenes
    flow = partial(
        TabularRealNVP,
        couplings=c.couplings,
        width=c.width,
        mask="halves",
        zero_init=True,
        max_log_scale=1.0,
    )
    return ood.JointDensity(
        inputs=c.inputs,
        explanation_grid=c.explanation_grid,
        flow=flow,
        steps=c.flow_steps,
    )


def ablations(joint: ood.JointDensity, train: np.ndarray, u: np.ndarray, given):
    """Yield `(row, log p of u)` of densities of some parts, and of parts apart.

    They are those of `JointDensity(parts=...)` and `(apart=True)`, of the vectors
    `train` and `u` that the joint density describes images by: gradients are taken
    once.
    """
    ends = joint.inputs, train.shape[1] - joint.explanation_grid**2
    columns = np.split(np.arange(train.shape[1]), ends)

    def log_prob(at):
        fitted = VectorDensity.fit(
            train[:, at],
            joint.flow,
            steps=joint.steps,
            batch_size=joint.batch_size,
            learning_rate=joint.learning_rate,
            seed=given.seed,
            name=joint.name,
        )
        return fitted.log_prob(u[:, at])

    for left_out, row in enumerate(WITHOUT.values()):
        others = [at for part, at in enumerate(columns) if part != left_out]
        yield row, log_prob(np.concatenate(others))
    yield APART, sum(map(log_prob, columns))


def items(scenes: RunScenes) -> dict[str, np.ndarray]:
    """Items 0 of every set that is tested: `{set: uint8 [S, H, W, C]}`."""
    return {
        USUAL: scenes.test.items[:, 0],
        **scenes.outliers,
        BEFORE: scenes.before.items[:, 0],
        AFTER: scenes.after.items[:, 0],
    }


def surroundings(scenes: RunScenes) -> dict[str, Scenes]:
    """The scenes that items 0 of every set are in."""
    whole = {name: scenes.test.with_item(0, x) for name, x in scenes.outliers.items()}
    return {
        USUAL: scenes.test,
        **whole,
        BEFORE: scenes.before,
        AFTER: scenes.after,
    }


def measured(
    config: ConfigDict,
    scenes: RunScenes,
    network: ood.Network,
    number: int,
    shown,
) -> dict:
    """Fit all rows to a network and score items 0 of every set; JSON-able.

    `scores`: `{row: {set: scores}}`. `alarms`: `{set: shares}` of items 0, and of their
    neighbours. `shown` is the progress, which is told of every row.
    """
    train = scenes.train
    given = ood.Given(
        network.collect(train.images),
        train.labels,
        # of Mahalanobis distances, which are then of one unit
        id_validation=scenes.calibrate.items[:, 0],
        seed=config.seed + number,
        train_inputs=train.images,
    )
    tested, around = items(scenes), surroundings(scenes)
    once = Once.of(around)
    scores: dict[str, dict[str, np.ndarray]] = {}

    def add(name: str, of: dict) -> None:
        scores[name] = of
        shown.advance(len(scores))

    joint = density(config)
    fitted = joint.fit(network, given)
    u = fitted.parts(once.images)
    first = once.over(fitted.checked(fitted.densities[0].log_prob(u)))
    add(FIRST, {s: of[:, 0] for s, of in first.items()})
    for name, log_p in ablations(joint, fitted.parts(train.images), u, given):
        add(name, {s: of[:, 0] for s, of in once.over(log_p).items()})
    context = ood.ContextModel(
        steps=config.scenes.context_steps, seed=config.seed + number
    ).fit(network, scenes.learn)
    monitor = ood.Monitor(fitted, context)
    monitor = monitor.calibrate(scenes.calibrate, config.scenes.alpha)
    z = once.over(network.collect(once.images).logits)
    adjacency = scenes.test.adjacency
    second = {s: context.score_logits(of, adjacency) for s, of in z.items()}
    verdicts = {s: monitor.verdict(of, first[s], second[s]) for s, of in around.items()}
    by_context = {s: _by_context(context, of, adjacency) for s, of in z.items()}
    add(SECOND, {s: of[:, 0] for s, of in second.items()})
    add(BOTH, {s: v.p[:, 0] for s, v in verdicts.items()})
    add(RULE, {s: of["agrees"] for s, of in by_context.items()})
    add(FREQUENCY, {s: of["frequency"] for s, of in by_context.items()})
    for name, detector in {
        MSP: ood.MSP(),
        LAYERS: ood.MahalanobisLayers("uniform", (0.0,)),
    }.items():
        scorer = detector.fit(network, given)
        add(name, {s: scorer.score(x) for s, x in tested.items()})
    add(PIXELS, pixel_gaussian(scenes.train.images, tested))
    pairs = {BEFORE: scenes.before, AFTER: scenes.after}
    add(EXACT, {s: exact_log_prob(of) for s, of in pairs.items()})
    return {
        "seed": config.seed + number,
        "accuracy": float((z[USUAL].argmax(-1) == scenes.test.labels).mean()),
        "other_sets": list(scenes.others),
        "scores": {
            name: {s: _short(values) for s, values in scores[name].items()}
            for name in ROWS
        },
        "alarms": {s: alarms(v, config.scenes.alpha) for s, v in verdicts.items()},
        "examples": _examples(around, verdicts) if number == 0 else {},
    }


def _by_context(context, z: np.ndarray, adjacency) -> dict[str, np.ndarray]:
    """Of items 0: whether the context's class is theirs, and the class's frequency."""
    log_q = z - np.logaddexp.reduce(z, axis=-1, keepdims=True)
    log_p = context.log_prob(log_q, adjacency)[:, 0]
    label = z[:, 0].argmax(-1)
    return {
        "agrees": (log_p.argmax(-1) == label).astype(float),
        "frequency": context.log_frequency[label],
    }


def alarms(verdict: ood.Verdict, alpha: float) -> dict[str, float]:
    """Shares of items 0 with an alarm, of which layer, and of their neighbours."""
    return {
        "alarm": float(verdict.alarm[:, 0].mean()),
        "first": float((verdict.layer[:, 0] == 1).mean()),
        "second": float((verdict.layer[:, 0] == 2).mean()),
        "first_alone": float((verdict.p_first[:, 0] <= alpha).mean()),
        "second_alone": float((verdict.p_second[:, 0] <= alpha).mean()),
        "neighbours": float(verdict.alarm[:, 1:].mean()),
    }


def _short(values: np.ndarray) -> list[float]:
    """Of 9 digits, as float32 needs: the same order, in a smaller file."""
    return [float(f"{v:.9g}") for v in np.asarray(values, np.float64)]


def _examples(around: dict[str, Scenes], verdicts: dict) -> dict:
    """A scene of some sets: items as hexadecimal text, and their p-values.

    Of outliers the first scene whose item 0 has an alarm, or else the first.
    """
    others = [n for n in around if n not in (USUAL, BEFORE, AFTER)]
    found = {}
    for name in (USUAL, *others[:1], AFTER):
        verdict, items = verdicts[name], around[name].items
        at = 0 if name == USUAL else int(verdict.alarm[:, 0].argmax())
        found[name] = {
            "items": [item.tobytes().hex() for item in items[at]],
            "shape": list(items.shape[2:]),
            "p_first": verdict.p_first[at].tolist(),
            "p_second": verdict.p_second[at].tolist(),
            "layer": verdict.layer[at].tolist(),
        }
    return found


# --- over networks ------------------------------------------------------------------


def against(name: str) -> str:
    """The in-distribution set that a set is compared with."""
    return BEFORE if name == AFTER else USUAL


def _paired(runs: list[dict], name: str) -> bool:
    """Whether item i of a set is made of item i of that which it is compared with."""
    return name != AFTER and name not in runs[0]["other_sets"]


def areas(runs: list[dict], row: str) -> dict[str, dict]:
    """AUROC of every set that a row has scores of: mean over networks, and each."""
    found = {}
    for name in runs[0]["scores"][row]:
        if name in (USUAL, BEFORE):
            continue
        paired = _paired(runs, name)
        of = [ood.auroc(*_pair(run, row, name), paired=paired) for run in runs]
        found[name] = {
            "auroc": float(np.mean([a.value for a in of])),
            # of the items; their number does not grow with networks
            "interval": np.mean([[a.low, a.high] for a in of], axis=0).tolist(),
            "per_network": [a.value for a in of],
        }
    return found


def differences(runs: list[dict]) -> dict[str, dict[str, dict]]:
    """`{ablation: {set: ...}}`: what the joint density gains over each.

    * `difference`: `[difference, low, high]` of AUROC, that of the joint density less
      that of the ablation, of the same items (DeLong), placements averaged over
      networks: the interval is of the items alone;
    * `per_network`: the difference of each;
    * `shown`: whether the interval is on one side of 0 and there are several networks,
      all on that side.
    """
    found: dict[str, dict[str, dict]] = {}
    joint = areas(runs, FIRST)
    for row in ABLATIONS:
        for name, of in areas(runs, row).items():
            if name == AFTER:
                continue
            whole, part = (_placed(runs, r, name) for r in (FIRST, row))
            estimate = difference_of(whole, part, paired=_paired(runs, name))
            value, low, high = (float(v) for v in estimate)
            both = joint[name]["per_network"], of["per_network"]
            each = [a - b for a, b in zip(*both, strict=True)]
            one_side = min(low, *each) > 0 or max(high, *each) < 0
            found.setdefault(row, {})[name] = {
                "difference": [value, low, high],
                "per_network": each,
                "shown": one_side and len(runs) > 1,
            }
    return found


def _placed(runs, row: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    paired = _paired(runs, name)
    placed = [ood.placements(*_pair(run, row, name), paired=paired) for run in runs]
    return tuple(np.mean([p[side] for p in placed], axis=0) for side in (0, 1))


def _pair(run: dict, row: str, name: str):
    of = run["scores"][row]
    return np.array(of[against(name)]), np.array(of[name])


def mean_alarms(runs: list[dict]) -> dict[str, dict[str, float]]:
    """Average the shares of alarms over networks."""
    return {
        name: {
            key: float(np.mean([run["alarms"][name][key] for run in runs]))
            for key in of
        }
        for name, of in runs[0]["alarms"].items()
    }
