"""The arrows of the architecture, and that the command line starts light."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

import pytest

import genbench
import genbench.baselines
from genbench.plugins.finding import GROUP

PACKAGE = Path(genbench.__file__).parent
BASELINES = Path(genbench.baselines.__file__).parent


def imports_of(file: Path) -> set[str]:
    """Every genbench module, and the first name of every other one, that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(place: str) -> list[Path]:
    path = PACKAGE / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


# The house from top to bottom: a room may know those below it, never one above.
ROOMS = (
    "cli", "api", "testing", "export", "synthesis", "tracking", "running", "report", "adapters",
    "plugins", "downstream", "tasks", "results", "features", "data", "formats", "metrics",
    "generator", "kinds", "system", "errors", "seeds",
)  # fmt: skip
LOOSE = {"__init__", "__main__", "api", "errors", "generator", "seeds"}
# Rooms that no module-level import makes heavy: people wait for what stands on them.
LIGHT = ("cli", "api", "report", "tasks", "results", "kinds")


def arrows() -> Iterator[tuple[str, str, str]]:
    """Every import between rooms: importing file, its room, the other room."""
    for file in PACKAGE.rglob("*.py"):
        here = file.relative_to(PACKAGE).with_suffix("").parts[0]
        for name in imports_of(file):
            there = (*name.split("."), "")[1]
            if name.startswith("genbench.") and there in ROOMS and there != here in ROOMS:
                yield str(file.relative_to(PACKAGE)), here, there


LONGEST_BODY, MEDIAN_BODY = 50, 6  # lines


def bodies(folder: Path) -> dict[str, int]:
    """Lines of every function, from the first statement after its docstring to the last."""
    found = {}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                found[f"{file.name}:{node.lineno} {node.name}"] = lines
    return found


@pytest.mark.parametrize("folder", [PACKAGE, BASELINES], ids=lambda folder: folder.name)
def test_functions_are_short_enough_to_be_read_whole(folder: Path) -> None:
    found = bodies(folder)
    assert {name: n for name, n in found.items() if n > LONGEST_BODY} == {}
    assert statistics.median(found.values()) <= MEDIAN_BODY


def test_the_house_has_its_rooms_and_nothing_lies_about() -> None:
    assert {file.stem for file in PACKAGE.glob("*.py")} == LOOSE
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(ROOMS), folders - set(ROOMS)
    for name in folders:
        doc = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text()))
        assert doc, f"{name} does not say what it is for"


def face(room: str) -> set[str]:
    """The names that a room offers: those of its stub, or its ``__all__`` where it has none."""
    stub = PACKAGE / room / "__init__.pyi"
    if not stub.is_file():
        return set(import_module(f"genbench.{room}").__all__)
    imports = [n for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def entrances() -> Iterator[tuple[str, str, str, str]]:
    """Every name that a room takes from another: importing file, the other room, module, name."""
    for file in PACKAGE.rglob("*.py"):
        here = file.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genbench."):
                room, _, inner = str(node.module).removeprefix("genbench.").partition(".")
                if room != here and (PACKAGE / room).is_dir():
                    for alias in node.names:
                        yield str(file.relative_to(PACKAGE)), room, inner, alias.name


def test_a_room_is_entered_by_its_face() -> None:
    """``from genbench.results import Record``: where it stands is the room's own matter."""
    seen = list(entrances())
    assert len(seen) > 300
    past = [(file, f"{room}.{inner}", name) for file, room, inner, name in seen if inner]
    assert past == []
    for file, room, _, name in seen:
        assert name in face(room), f"{file}: {room}.{name}"


def test_every_name_of_a_face_is_there_and_somebody_uses_it() -> None:
    used = {(room, name) for _, room, _, name in entrances()}
    public = ("metrics", "features", "data", "adapters", "testing")
    for stub in PACKAGE.glob("*/__init__.pyi"):
        room = import_module(f"genbench.{stub.parent.name}")
        assert set(room.__all__) <= face(stub.parent.name)
        (promised,) = [
            n.value for n in ast.parse(stub.read_text()).body if isinstance(n, ast.Assign)
        ]
        assert set(room.__all__) == set(ast.literal_eval(promised)), stub
        for name in face(stub.parent.name):
            getattr(room, name)
            assert stub.parent.name in public or (stub.parent.name, name) in used, name


def test_every_import_between_rooms_goes_down() -> None:
    """So there is no circle of rooms either."""
    seen = list(arrows())
    assert len(seen) > 300
    up = [arrow for arrow in seen if ROOMS.index(arrow[1]) > ROOMS.index(arrow[2])]
    assert up == []


@pytest.mark.parametrize("room", LIGHT)
def test_a_light_room_imports_no_torch_at_module_level(room: str) -> None:
    for file in files(room):
        tree = ast.parse(file.read_text())
        named = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        names = {a.name for n in named if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in named if isinstance(n, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in names} & {"torch", "sklearn"}, file


def test_only_the_command_line_knows_click() -> None:
    for file in PACKAGE.rglob("*.py"):
        if "cli" not in file.relative_to(PACKAGE).parts:
            assert "click" not in imports_of(file), file


def test_no_module_imports_a_baseline_or_a_suite() -> None:
    for file in PACKAGE.rglob("*.py"):
        assert not any(n.startswith("genbench.baselines") for n in imports_of(file)), file


@pytest.mark.parametrize("file", sorted(BASELINES.glob("*.py")), ids=lambda f: f.name)
def test_a_baseline_needs_the_contract_alone(file: Path) -> None:
    """And parts, its own or shared with others; nobody imports another baseline."""
    ours = {n for n in imports_of(file) if n.startswith("genbench")}
    fronts = {e.value.partition(":")[0] for e in metadata.entry_points(group=GROUP)}
    parts = {f"genbench.baselines.{f.stem}" for f in BASELINES.glob("*.py")} - fronts
    allowed = ("genbench.generator", "genbench.errors", *parts)
    assert all(f"{n}.".startswith(tuple(f"{a}." for a in allowed)) for n in ours), ours


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["list"], ["list", "metrics"]])
def test_what_people_type_first_imports_no_torch(args: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['genbench', *{args!r}]\n"
        "from genbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'plotly', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stderr.strip() == "[]"


PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
HARMLESS = {"pickle.UnpicklingError", "pickle.PickleError"}


def unsafe(source: str) -> Iterator[str]:
    """Every place in a source that may run what it reads, under whatever name it was imported."""
    nodes = list(ast.walk(ast.parse(source)))
    origin = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            origin |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            origin |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}

    def named(node: ast.AST) -> str:
        first, dot, rest = ast.unparse(node).partition(".")
        return f"{origin.get(first, first)}{dot}{rest}"

    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            name = named(node)
            if name.split(".")[0] in PICKLES and "." in name and name not in HARMLESS:
                yield name
            if name.split(".")[-1] == "read_pickle" or name in {"eval", "exec"}:
                yield name
        elif isinstance(node, ast.Call):
            name, given = named(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            allowed = given.get("allow_pickle", "unsaid" if name == "numpy.load" else "False")
            if allowed != "False" or (name == "torch.load" and given.get("weights_only") != "True"):
                yield name


def test_results_are_read_without_pickle() -> None:
    for file in [*PACKAGE.rglob("*.py"), *BASELINES.glob("*.py")]:
        assert not list(unsafe(file.read_text())), file


@pytest.mark.parametrize(
    "source",
    [
        "import pickle; pickle.load(f)",
        "import pickle as p; p.loads(b)",
        "import pickle; read = pickle.load",
        "from pickle import load; load(f)",
        "from joblib import load as read; read(f)",
        "import pandas as pd; pd.read_pickle(f)",
        "from pandas import read_pickle; read_pickle(f)",
        "import numpy as np; np.load(f)",
        "from numpy import load; load(f)",
        "import numpy; numpy.load(f, allow_pickle=True)",
        "import numpy.lib.format as npy; npy.read_array(f, allow_pickle=mine)",
        "import torch; torch.load(f)",
        "import torch as t; t.load(f, weights_only=False)",
        "from torch import load; load(f, map_location='cpu')",
        "eval('1')",
    ],
)
def test_every_way_to_read_a_pickle_is_seen(source: str) -> None:
    assert list(unsafe(source))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\ntry: ...\nexcept pickle.UnpicklingError: ...",
        "import numpy as np; np.load(f, allow_pickle=False)",
        "import torch; torch.load(f, weights_only=True); net.eval(); net.load(f)",
        "import json; json.load(f)",
    ],
)
def test_safe_reading_is_not_taken_for_a_pickle(source: str) -> None:
    assert not list(unsafe(source))


def test_reading_results_imports_no_plugin_and_no_torch(tmp_path: Path) -> None:
    """Records name generators; whatever reads records must not go and fetch them."""
    results = Path(__file__).parent.parent / "reports" / "ci"
    commands = [
        ["report", results, "-o", tmp_path / "site"],
        ["results", "verify", results],
        ["results", "export", results, "-o", tmp_path / "table.csv"],
        ["results", "merge", results, "--into", tmp_path / "merged"],
        ["status", results],
        ["compare", results, results],
    ]
    code = (
        "import sys; from importlib.metadata import EntryPoint\n"
        "def refuse(self): raise AssertionError(f'{self.value} was loaded')\n"
        "EntryPoint.load = refuse\n"
        "from genbench.cli import cli\n"
        f"for words in {[[str(w) for w in words] for words in commands]!r}:\n"
        "    assert not cli.main(words, standalone_mode=False), words\n"
        "bad = [m for m in sys.modules if m.startswith(('genbench.baselines.', 'torch'))]\n"
        "print(sorted(bad), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("file", sorted((PACKAGE.parent / "benchmarks").glob("*.py")))
def test_benchmarks_find_what_they_import(file: Path) -> None:
    """No other test imports most of them, and a name that moved is seen when they are needed."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genbench"):
            module = import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")
