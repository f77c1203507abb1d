"""pytorch-ood's detectors, fitted to features that are there already."""

from importlib import import_module as peer

from experiments.peers.tasks import DetectorCalls, Features, FeatureShape

# names of theirs that differ from ours
THEIRS = {
    "MSP": "MaxSoftmax",
    "Energy": "EnergyBased",
    "TempScale": "TemperatureScaling",
    "MahalanobisFeatures": "Mahalanobis",
    "RelativeMahalanobis": "RMD",
    "FDBD": "fDBD",
}
OF_LOGITS = ("MSP", "MaxLogit", "Energy", "Entropy", "GEN", "KLMatching")
FITTED_LOGITS = ("KLMatching", "TempScale", "OpenMax")
OF_FEATURES = ("KNN", "MahalanobisFeatures", "RelativeMahalanobis")
OF_BOTH = ("SHE", "FDBD", "NNGuide", "NCI", "PNML", "LTS")
OF_MODEL = ("GradNorm", "GradUncertainty", "ODIN")
OF_MAPS = ("ReAct", "ASH", "SCALE", "VRA")


def pytorch_ood(shape: FeatureShape, task: str, data: Features) -> DetectorCalls:
    """The detector of that name with the settings of ours, on tensors."""
    torch = peer("torch")
    head = torch.nn.Linear(shape.dim, shape.classes)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(data.weights.T.copy()))
        head.bias.copy_(torch.from_numpy(data.bias))
    train, scored = map(torch.from_numpy, (data.train, data.scored))
    labels = torch.from_numpy(data.labels)
    with torch.no_grad():
        logits, scored_logits = head(train), head(scored)
    make = getattr(peer("pytorch_ood.detector"), THEIRS.get(task, task))
    options = _options(task, head, shape)
    held: list = []

    def fit():
        detector = make(**options)
        with torch.no_grad():
            if task in FITTED_LOGITS:
                detector.fit_logits(logits, labels)
            elif task in OF_MAPS and hasattr(detector, "fit_feature_maps"):
                detector.fit_feature_maps(train[:, :, None, None], labels)
            elif hasattr(detector, "fit_features"):
                detector.fit_features(train, labels)
        held[:] = [detector]

    def score():
        detector = held[0]
        if task in OF_MODEL:
            return -detector.predict(scored).detach().numpy()
        with torch.no_grad():
            if task in (*OF_LOGITS, *FITTED_LOGITS):
                scores = detector.predict_logits(scored_logits)
            elif task in OF_MAPS:
                scores = detector.predict_feature_maps(scored[:, :, None, None])
            else:
                scores = detector.predict_features(scored)
        return -scores.numpy()

    return DetectorCalls(data.weights.size + data.bias.size, fit, score)


def _options(task: str, head, shape: FeatureShape) -> dict:
    """Arguments of their constructor; settings are those of ours."""
    torch = peer("torch")
    weights = {"w": head.weight.detach(), "b": head.bias.detach()}
    flat = torch.nn.Sequential(torch.nn.Flatten(), head)
    maps = {"backbone": None, "head": flat}
    features = {"encoder": None, "head": head}
    return {
        **{name: {"model": None} for name in (*OF_LOGITS, "TempScale")},
        "OpenMax": {"model": None, "tailsize": 20},
        **{name: {"model": head} for name in OF_MODEL},
        **{name: {"encoder": None} for name in OF_FEATURES},
        "ViM": {"encoder": None, "d": shape.dim // 2, **weights},
        "DICE": {"encoder": None, "p": 0.9, **weights},
        "ASH": maps | {"variant": "ash-b", "percentile": 0.65},
        "SCALE": maps | {"percentile": 0.85},
        **{name: features for name in OF_BOTH},
        "ReAct": maps,
        "VRA": maps | {"lower_percentile": 0.6, "upper_percentile": 0.9},
    }[task]
