"""The lists of detectors in the manual: all of ours, and as many as are quoted."""

import inspect
import re

import pytest

from flowjax_ood import ood
from tests.docs.manual import read

# of one classifier's outputs: not a network's likelihood, nor what needs more
OTHERS = {"Detector", "Tuned", "Coherence", "JointDensity"}
CLASSES = {
    name
    for name in ood.__all__
    if inspect.isclass(made := getattr(ood, name))
    and issubclass(made, ood.Detector)
    and not issubclass(made, ood.FlowScore)
}


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", "rank {} feature detectors"),
        ("docs/index.md", "compares flows with {} detectors"),
        ("docs/detectors.md", "The library has {} detectors"),
        ("CHANGELOG.md", "**Detectors**: {} of a classifier's features"),
    ],
)
def test_their_number_is_right(page, words):
    assert words.format(len(CLASSES - OTHERS)) in read(page)


def test_all_are_beside_those_of_the_peers():
    text = read("docs/detectors.md").partition("| looks at | in both |")[2]
    listed = set(re.findall(r"`(\w+)`", text.partition("| left out |")[0]))
    assert CLASSES - {"Detector", "Tuned"} <= listed
