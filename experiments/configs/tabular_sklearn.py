"""RealNVP on the real tables that scikit-learn ships: one class against the others."""

from experiments.configs import tabular_common

# rows of other classes are all OOD: nothing is trained on them, or standardised by
OOD = {f"breast_cancer{c}": (f"breast_cancer{1 - c}:all",) for c in range(2)}
OOD |= {f"wine{c}": tuple(f"wine{o}:all" for o in range(3) if o != c) for c in range(3)}
OOD |= {f"digits{c}": (f"digits_not{c}:all",) for c in range(10)}


def get_config(variant: str = ""):
    if variant not in ("", "smoke", *OOD):
        raise ValueError(f"unknown variant {variant!r}; known: smoke, {', '.join(OOD)}")
    name = "breast_cancer1" if variant in ("", "smoke") else variant
    config = tabular_common.tabular(f"{name}:train", f"{name}:test", OOD[name])
    # a fifth of some hundred rows: less would stop training by chance
    config.data.update(source="sklearn", validation=0.2)
    config.model.update(width=64, dropout=0.5)
    config.train.update(
        batch_size=64,
        num_steps=4000,
        log_every=100,
        checkpoint_every=1000,
        # the fewer the rows, the sooner the best is over: within 50 steps for wine
        validate_every=10,
        patience=50,
    )
    if variant == "smoke":
        config = tabular_common.smoke(config)
        # the table itself is at hand
        config.data.update(source="sklearn", limit_train=0, limit_test=0)
    return config
