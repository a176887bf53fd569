"""The house has no stairs up: a folder imports from those below it only, and no module from itself by a detour."""

import ast
import graphlib
from pathlib import Path

import pytest

import tfar

ROOT = Path(tfar.__file__).parent
STOREYS = (  # from the roof down; rooms of one storey do not know each other
    {"cli"},
    {"commands"},
    {"reports"},
    {"evaluation", "batch"},
    {"__init__"},
    {"training", "restoration"},
    {"losses", "metrics", "export", "data", "presets"},
    {"jpeg"},
    {"models", "traces", "images"},
    {"recipes", "storage"},
    {"pixels", "quantization", "errors", "backend", "terminal", "machine"},
)


def module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path) -> dict[str, set[str]]:
    """Module of the package -> modules of the package that it imports, wherever in its text."""
    files = {module_name(file, root): file for file in root.rglob("*.py")}
    found = {}
    for name, file in files.items():
        wanted = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are absolute here"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {path if path in files else node.module for path in inner}
        found[name] = wanted & files.keys() - {name}
    return found


def room(module: str) -> str:
    return (module.split(".") + ["__init__"])[1]


def storey(module: str) -> int:
    return next(number for number, rooms in enumerate(STOREYS) if room(module) in rooms)


def faults(arrows: dict[str, set[str]]) -> list[str]:
    """What is wrong with the imports of a package."""
    found = [
        f"{module} imports {imported}"
        for module, wanted in arrows.items()
        for imported in wanted
        if room(module) != room(imported) and storey(module) >= storey(imported)
    ]
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' -> '.join(error.args[1])}")
    return found


def test_every_room_has_its_storey():
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms == set().union(*STOREYS)


def test_no_arrow_runs_up_and_there_is_no_circle():
    arrows = imports(ROOT)
    assert {"tfar.storage", "tfar.training.trainer"} <= arrows["tfar.training.runs"]
    assert faults(arrows) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"data/patches.py": "from tfar.training.runs import Run"}, "tfar.data.patches imports tfar.training.runs"),
        ({"losses/edge.py": "def f():\n    import tfar.metrics.flip"}, "tfar.losses.edge imports tfar.metrics.flip"),
        ({"jpeg.py": "from tfar import presets"}, "tfar.jpeg imports tfar.presets"),
        ({"models/a.py": "from tfar.models import b", "models/b.py": "from tfar.models.a import f"}, "a circle"),
    ],
)
def test_a_stair_up_and_a_circle_are_seen(tmp_path, files, fault):
    for name in ("training/runs.py", "metrics/flip.py", "presets.py", *files):
        file = tmp_path / "tfar" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(files.get(name, ""))
        (file.parent / "__init__.py").touch()
    found = faults(imports(tmp_path / "tfar"))
    assert len(found) == 1 and found[0].startswith(fault)


def test_packages_hand_names_on_and_hold_no_logic():
    for file in ROOT.rglob("*/__init__.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in body), file


def test_arrays_are_loaded_without_pickles():
    """Pickles are code; NumPy's default is spelled out, so that nobody takes it for an oversight."""
    found = []
    for file in [*ROOT.rglob("*.py"), *(ROOT.parent / "scripts").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                found.append(file)
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("allow_pickle") == "False", f"{file}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names} | {getattr(node, "module", None)}
                assert names.isdisjoint({"pickle", "dill", "joblib", "shelve", "marshal"}), f"{file}:{node.lineno}"
    assert len(found) >= 3
