"""Every command of the manual parses, and the configs it names exist."""

import re
import shlex

import pytest

from experiments.cli import COMMANDS, parser, split_overrides
from experiments.core.config import load_config
from experiments.core.keys import SYSTEMS
from flowjax_ood.tool import cli as tool
from tests.docs.manual import NAMES, ROOT, blocks, read

# what a reader writes for the words in capitals that are no paths
EXAMPLES = {"NAME": "breast_cancer1", "SEED": "0"}
CALL = "python -m experiments "


def commands(text: str, call: str = CALL) -> list[str]:
    """The calls of `python -m experiments` in the bash blocks, a line each."""
    lines = [
        line
        for block in blocks(text, "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line.partition(call)[2] for line in lines if call in line]


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
        systems = (system for system in SYSTEMS if system.command == args.command)
        load_config(args.config, overrides, next(systems, None))


def test_the_quickstart_lists_every_command():
    listed = read("docs/quickstart.md").partition("## All commands")[2]
    rows = re.findall(r"^\| `(\w+)` \|", listed, re.M)
    assert sorted(rows) == sorted(COMMANDS)


TOOL = "flowjax-ood "
TOOL_CALLS = [(name, c) for name in NAMES for c in commands(read(name), TOOL)]


@pytest.mark.parametrize(("name", "call"), TOOL_CALLS)
def test_a_call_of_the_tool_parses(name, call):
    assert tool.parser().parse_args(shlex.split(call)).command
