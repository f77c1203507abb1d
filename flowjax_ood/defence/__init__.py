"""Classifiers that are harder to copy by their answers, and the attack that copies.

An ensemble of diverse members (`training.members`, the objective `Diverse`) answers
each query by one member. A clone is trained on queries far from the training data, on
which the members disagree; so it learns a mixture of answers that no classifier gives.
Source: Kariyappa, Prakash & Qureshi 2021, "Protecting DNNs from theft using an ensemble
of diverse models".

This is no security guarantee. Who has data like the training data gets the same answers
from all members, and a good clone; who asks for changed copies of a query and averages
undoes much of the choice of member (`knockoff(repeats=...)`); and no part of this has
been proven against an attacker who knows it. It makes one known attack dearer: measure
by how much, and limit queries as well.
"""

from flowjax_ood.defence.fidelity import CloneFidelity, fidelity
from flowjax_ood.defence.knockoff import Clone, knockoff
from flowjax_ood.defence.routes import Keyed, Perceptual
from flowjax_ood.defence.served import Served

__all__ = [
    "Clone",
    "CloneFidelity",
    "Keyed",
    "Perceptual",
    "Served",
    "fidelity",
    "knockoff",
]
