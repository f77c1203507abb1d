"""Every command of the manual parses, and the configs it names exist."""

import re
import shlex

import pytest

from experiments.cli import parser, split_overrides
from experiments.core.config import load_config
from tests.docs.manual import NAMES, ROOT, blocks, read

# what a reader writes for the words in capitals that are no paths
EXAMPLES = {"NAME": "breast_cancer1", "SEED": "0"}
CALL = "python -m experiments "


def commands(text: str) -> list[str]:
    """The calls of `python -m experiments` in the bash blocks, a line each."""
    lines = [
        line
        for block in blocks(text, "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line.partition(CALL)[2] for line in lines if CALL in line]


CALLS = [(name, call) for name in NAMES for call in commands(read(name))]


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_command_parses_and_its_config_exists(name, call, monkeypatch):
    monkeypatch.chdir(ROOT)
    for word, example in EXAMPLES.items():
        call = re.sub(rf"(?<=[:=]){word}\b", example, call)
    words, overrides = split_overrides(shlex.split(call))
    args = parser().parse_args(words)
    assert args.command
    # a config is loaded with the keys that are set; so a wrong one fails, too
    if getattr(args, "config", None):
        load_config(args.config, overrides)
