"""The layout's arrows: which package may import which, read off the source.

A part is a file or folder of `flowjax_ood/` or `experiments/`. It may use the parts
named here, and what those may use in their turn.
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "flowjax_ood"
EXPERIMENTS = ROOT / "experiments"

ARROWS = {
    "arguments": set(),
    "bound": set(),
    "masks": {"arguments", "bound"},
    "precision": set(),
    "runtime": set(),
    "interface": {"runtime"},
    "bijectors": {"arguments", "masks"},
    "networks": {"arguments", "bound", "precision", "runtime"},
    "distributions": {"bijectors"},
    "models": {"bijectors", "networks", "distributions", "precision"},
    "interop": {"models"},
    # arrays in, arrays out; the flow of a joint density is of models
    "ood": {"data", "models", "analysis"},
    "analysis": {"distributions", "bijectors"},
    "figures": {"ood", "runtime"},  # numbers in, picture out
    "data": {"arguments", "runtime"},  # files alone: nothing heavy
    "evaluation": {"distributions", "ood", "data", "runtime"},
    "training": {"evaluation", "distributions", "ood", "data", "runtime"},
    "defence": {"ood", "training", "evaluation", "data", "runtime"},
    "federated": {"ood", "training", "evaluation", "data", "runtime"},
    "novelty": {"ood", "models", "interop", "training", "runtime"},
    "estimators": {"novelty"},
    # what is installed as a command
    "tool": {"novelty", "interface", "figures"},
    "__main__": {"tool"},
    "__init__": set(),
}

# Of the experiments: every command uses core and itself.
COMMANDS = {
    *("ablate", "benchmark", "compare", "decide", "demo", "detect", "drift", "embed"),
    *("evaluate", "federated", "inspect", "maps", "monitor", "novelty", "peers"),
    *("precision", "reconstruct", "report", "samples", "scores", "status"),
    *("steal", "train"),
}
EXPERIMENT_ARROWS = {
    "__init__": set(),
    "configs": set(),
    "core": set(),
    **{command: {"core"} for command in COMMANDS},
    # the one exception: the report shows an ablation by the ablation's own table
    "report": {"core", "ablate"},
    "cli": COMMANDS | {"core"},
    "__main__": {"cli", "core"},
}

# numeric packages, which these parts import inside functions alone
NUMERIC = {"jax", "flax", "optax", "jaxlib"}
NUMPY_ONLY = {"masks", "data", "__init__"}
USES_JAX_ANYWAY = {"data/dequantize.py"}

# slow to import: inside functions only
HEAVY = {
    "matplotlib",
    "tensorflow_datasets",
    "PIL",
    "grain",
    "orbax",
    "sklearn",
    "scipy",
    "rich",
    "tensorboardX",
}
# The classes of these parts are subclasses of its own; nobody else imports them.
MADE_OF = {"estimators": {"sklearn"}}

FORBIDDEN = {
    "tensorflow",
    "tensorflow_probability",
    "tf_keras",
    "keras",
    "clu",
    "distrax",
    "torch",
    "flax.metrics.tensorboard",
    "experiments",
}


def closure(part: str, arrows: dict[str, set[str]] = ARROWS) -> set[str]:
    reached, waiting = {part}, [part]
    while waiting:
        new = arrows[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


@cache
def imports(source: str, only_on_import: bool = False) -> frozenset[str]:
    """Dotted names a file imports; `from a import b` counts as `a` and `a.b`.

    `only_on_import` leaves out what functions import when called, and type checking.
    """
    found = set()

    def visit(node):
        if only_on_import:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                for child in node.orelse:
                    visit(child)
                return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return frozenset(found)


def begins_with(name: str, packages) -> bool:
    return any(name == p or name.startswith(p + ".") for p in packages)


def forbidden_parts(source: str, part: str, package: Path = LIBRARY) -> set[str]:
    """Parts of `package` that a file of `part` imports and may not."""
    arrows = ARROWS if package == LIBRARY else EXPERIMENT_ARROWS
    parts = set()
    for name in imports(source):
        top, _, rest = name.partition(".")
        if top == package.name and rest.split(".")[0] in arrows:
            parts.add(rest.split(".")[0])
    # a command reaches others through nobody
    allowed = closure(part) if package == LIBRARY else {part} | arrows[part]
    return parts - allowed


def part_of(path: Path, package: Path = LIBRARY) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of names that reach each other."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in graph}
    circles = {
        frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]
    }
    return sorted(map(set, circles), key=sorted)


FILES = sorted(LIBRARY.rglob("*.py"))
EXPERIMENT_FILES = sorted(EXPERIMENTS.rglob("*.py"))
OTHER_FILES = [ROOT / "setup.py", *sorted((ROOT / "tests").rglob("*.py"))]


def wrongs(files, rule) -> dict[str, set[str]]:
    """`{file: rule(file)}` of the files where that is not empty."""
    results = {str(path.relative_to(ROOT)): rule(path) for path in files}
    return {path: wrong for path, wrong in results.items() if wrong}


def test_every_part_has_its_arrows():
    assert len(FILES) > 100
    assert len(EXPERIMENT_FILES) > 100
    parts = {part_of(path) for path in FILES}
    assert parts == set(ARROWS), "a new package: say in ARROWS what it may import"
    parts = {part_of(path, EXPERIMENTS) for path in EXPERIMENT_FILES}
    assert parts == set(EXPERIMENT_ARROWS), "say in COMMANDS what the new package is"


def test_the_library_imports_along_the_arrows():
    def rule(path):
        return forbidden_parts(path.read_text(), part_of(path))

    assert wrongs(FILES, rule) == {}


def test_experiments_import_along_the_arrows():
    def rule(path):
        return forbidden_parts(
            path.read_text(), part_of(path, EXPERIMENTS), EXPERIMENTS
        )

    assert wrongs(EXPERIMENT_FILES, rule) == {}


def test_no_file_imports_itself_by_way_of_others():
    files = [*FILES, *EXPERIMENT_FILES]
    modules = {module_of(path) for path in files}
    graph = {}
    for path in files:
        names = imports(path.read_text()) & modules
        # `from a import b`, b a file, is an arrow to b alone
        packages = {n.rpartition(".")[0] for n in names}
        graph[module_of(path)] = set(names) - packages - {module_of(path)}
    assert cycles(graph) == []


def test_nobody_imports_tensorflow_nor_the_library_the_experiments():
    def rule(path):
        own = set() if LIBRARY in path.parents else {"experiments"}
        names = imports(path.read_text())
        return {n for n in names if begins_with(n, FORBIDDEN - own)}

    assert wrongs([*FILES, *EXPERIMENT_FILES, *OTHER_FILES], rule) == {}


def test_heavy_packages_wait_until_they_are_used():
    def rule(path):
        inside = path.relative_to(LIBRARY).as_posix()
        numpy_only = part_of(path) in NUMPY_ONLY and inside not in USES_JAX_ANYWAY
        heavy = HEAVY | NUMERIC if numpy_only else HEAVY
        heavy = heavy - MADE_OF.get(part_of(path), set())
        on_import = imports(path.read_text(), only_on_import=True)
        return {name for name in on_import if begins_with(name, heavy)}

    assert wrongs(FILES, rule) == {}, "import inside the function that needs it"


LIGHT = {
    "flowjax_ood": {"jax", "numpy"},
    "flowjax_ood.masks": {"jax", "flax"},
    "flowjax_ood.data": {"jax", "flax"},
    "flowjax_ood.models, flowjax_ood.interop": set(),
}


@pytest.mark.parametrize("modules", LIGHT)
def test_importing_is_light(modules):
    program = f"import sys, {modules}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert modules.split(",")[0] in loaded
    never = {"matplotlib", "tensorflow_datasets", "tensorflow", "PIL", "sklearn"}
    assert not loaded & (LIGHT[modules] | never)


# --- the readers above, on sources that break each rule ----------------------------


def test_the_reader_sees_every_kind_of_import():
    source = """
import a.b, c
from d.e import f as g
def h():
    import i
if TYPE_CHECKING:
    from j import k
else:
    import l
class M:
    import n
"""
    on_import = {"a.b", "c", "d.e", "d.e.f", "l", "n"}
    assert imports(source, only_on_import=True) == on_import
    assert imports(source) == on_import | {"i", "j", "j.k"}
    with pytest.raises(AssertionError, match="a relative import in line 1"):
        imports("from . import x")


def test_the_arrows_point_one_way():
    upward = "def f():\n    from flowjax_ood import masks, training\n"
    assert forbidden_parts(upward, "bijectors") == {"training"}
    assert forbidden_parts(upward, "models") == {"training"}
    assert forbidden_parts(upward, "networks") == {"masks", "training"}
    assert forbidden_parts(upward, "training") == set()
    assert forbidden_parts("import flowjax_ood.training.loop", "ood") == {"training"}
    assert forbidden_parts("from flowjax_ood.ood.metrics import auroc", "ood") == set()
    for arrows in (ARROWS, EXPERIMENT_ARROWS):
        for part in arrows:
            reached = closure(part, arrows) - {part}
            assert not any(part in closure(other, arrows) for other in reached)
    for part in MADE_OF:
        assert not any(part in uses for uses in ARROWS.values())


def test_core_imports_no_command_and_commands_no_other():
    command = "from experiments.train.command import run"
    assert forbidden_parts(command, "core", EXPERIMENTS) == {"train"}
    assert forbidden_parts(command, "evaluate", EXPERIMENTS) == {"train"}
    assert forbidden_parts(command, "train", EXPERIMENTS) == set()
    for part in COMMANDS - {"report"}:
        assert not EXPERIMENT_ARROWS[part] & COMMANDS


def test_cycles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "d"}, "e": {"a"}}
    assert cycles(graph) == [{"a", "b", "c"}, {"d"}]
    assert cycles({"a": {"b"}, "b": set()}) == []
