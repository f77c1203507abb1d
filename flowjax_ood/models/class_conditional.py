"""Any flow, conditioned on classes."""

from typing import Literal, get_args

from flowjax_ood.distributions import ClassMixture, ConditionalNormal, Flow

ConditionedPart = Literal["base", "couplings"]


def class_conditional(
    flow: Flow,
    classes: int,
    part: ConditionedPart = "base",
    absent: tuple[int, ...] = (),
) -> ClassMixture:
    """Condition a flow on `classes`, given as one-hot rows; without, it is a mixture.

    * `part`: "base" gives every class a Gaussian of its own in the space of latents
      (`ConditionalNormal`), and all classes cost one pass (Izmailov et al. 2020);
      "couplings" gives the class to all st-networks;
    * `absent`: classes of probability 0.

    Raises ValueError for another part, a flow whose base is conditional already, and
    as `ClassMixture` does.
    """
    if part not in get_args(ConditionedPart):
        raise ValueError(
            f"unknown part {part!r}; known: {', '.join(get_args(ConditionedPart))}"
        )
    if isinstance(flow.base, ConditionalNormal):
        raise ValueError(
            "the flow's base is a ConditionalNormal, and conditioned already; give a "
            "flow whose base is not"
        )
    in_base = part == "base"
    return ClassMixture(
        bijector=flow.bijector,
        event_shape=flow.event_shape,
        base=ConditionalNormal() if in_base else flow.base,
        conditional_bijector=not in_base,
        classes=classes,
        absent=tuple(absent),
    )
