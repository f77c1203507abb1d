"""The layout's arrows: which room may import which, read off the source.

A room is a file or folder of `flowjax_ood/`. It may use the rooms named here, and what
those may use in their turn.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "flowjax_ood"

ARROWS = {
    "masks": set(),
    "precision": set(),
    "bijectors": {"masks"},
    "networks": {"precision"},
    "distributions": {"bijectors"},
    "models": {"bijectors", "networks", "distributions", "precision"},
    "interop": {"models"},
    "ood": set(),  # arrays in, arrays out
    "analysis": {"distributions", "bijectors"},
    "data": set(),
    "training": {"models", "interop", "ood", "analysis", "data"},
    "__init__": set(),
}

# the only rooms that may import more than NumPy and the standard library when imported
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
    "rich",
    "tensorboardX",
}

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


def closure(room: str) -> set[str]:
    reached, waiting = {room}, [room]
    while waiting:
        new = ARROWS[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def imports(source: str, only_on_import: bool = False) -> set[str]:
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
    return found


def begins_with(name: str, packages) -> bool:
    return any(name == p or name.startswith(p + ".") for p in packages)


def forbidden_rooms(source: str, room: str) -> set[str]:
    """Rooms that a file of `room` imports and may not."""
    rooms = set()
    for name in imports(source):
        package, _, rest = name.partition(".")
        if package == "flowjax_ood" and rest.split(".")[0] in ARROWS:
            rooms.add(rest.split(".")[0])
    return rooms - closure(room)


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def named(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in sorted(paths)]


FILES = named(LIBRARY.rglob("*.py"))
EVERYWHERE = [
    *FILES,
    *named((ROOT / "experiments").rglob("*.py")),
    *named([ROOT / "setup.py"]),
    *named((ROOT / "tests").rglob("*.py")),
]


def test_every_room_has_its_arrows():
    rooms = {room_of(file.values[0]) for file in FILES}
    assert rooms <= set(ARROWS), "a new room: say in ARROWS what it may import"


@pytest.mark.parametrize("path", FILES)
def test_rooms_import_along_the_arrows(path):
    wrong = forbidden_rooms(path.read_text(), room_of(path))
    assert not wrong, f"{room_of(path)} may not import {sorted(wrong)}"


@pytest.mark.parametrize("path", EVERYWHERE)
def test_nobody_imports_tensorflow_or_the_experiments(path):
    own = {"experiments"} if ROOT / "flowjax_ood" not in path.parents else set()
    wrong = {n for n in imports(path.read_text()) if begins_with(n, FORBIDDEN - own)}
    assert not wrong


@pytest.mark.parametrize("path", FILES)
def test_heavy_packages_wait_until_they_are_used(path):
    on_import = imports(path.read_text(), only_on_import=True)
    heavy = set(HEAVY)
    inside = str(path.relative_to(LIBRARY).as_posix())
    if room_of(path) in NUMPY_ONLY and inside not in USES_JAX_ANYWAY:
        heavy |= NUMERIC
    wrong = {name for name in on_import if begins_with(name, heavy)}
    assert not wrong, f"import inside the function that needs it: {sorted(wrong)}"


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
    assert forbidden_rooms(upward, "bijectors") == {"training"}
    assert forbidden_rooms(upward, "models") == {"training"}
    assert forbidden_rooms(upward, "networks") == {"masks", "training"}
    assert forbidden_rooms(upward, "training") == set()
    assert forbidden_rooms("import flowjax_ood.training.loop", "ood") == {"training"}
    assert forbidden_rooms("from flowjax_ood.ood.metrics import auroc", "ood") == set()
    for room in set(ARROWS) - {"training"}:
        assert "training" not in closure(room)
        assert not any(room in closure(other) for other in closure(room) - {room})
