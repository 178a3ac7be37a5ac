"""The arrows of the house: who may import whom, and what may be imported when."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import bayesphot

PACKAGE = Path(bayesphot.__file__).parent

#: The rows of the house, top first. A module may import rows below its own, never its own row.
#: The two front doors use each other and have a row each: cli, its commands
#: and their options, their report.
ROWS = (
    ("cli",),
    ("commands", "parsers"),
    ("report", "warm"),
    ("calibration", "effective_psf", "companions"),
    ("config",),
    ("shape_search",),
    ("loop", "ladder"),
    ("trials",),
    ("outliers",),
    ("vacant",),
    ("populate", "observer"),
    ("assemble", "refit", "sample"),
    ("collect", "condense"),
    ("astropy_fit", "restarts", "scales"),
    ("plan",),
    ("accept", "execute"),
    ("plotting", "interrupted"),
    ("result",),
    ("source_posterior", "arviz_bridge", "diagnosis", "storage", "scene", "growth"),
    ("flux_density",),
    ("scene", "starts"),
    ("detection", "background", "grouping", "fitting", "sampling", "one_more", "render"),
    ("target", "evidence"),
    ("normal_priors",),
    ("patch",),
    ("settings",),
    ("saturation",),
    ("sky_positions",),
    ("layout", "image", "mismatch", "noise", "priors", "psf", "datasets"),
    ("catalog",),
    ("flags", "columns", "draws", "readers", "boxes", "checks", "rowstore", "plane"),
    ("celestial", "apertures"),
    ("kernels",),
)
LEVEL = {name: level for level, row in enumerate(reversed(ROWS)) for name in row}
#: ``import bayesphot`` gives the public names, up to the calibration of a configuration.
LEVEL[""] = LEVEL["calibration"]
#: `python -m bayesphot` and the lazy names stand outside the house.
OUTSIDE = ("__init__", "__main__")
#: ``result.plot()`` and ``result.pair()`` ask questions of the result: arrows up, only inside
#: functions.
DOORS = {("result", "plotting"), ("result", "companions")}
LAZY = {"arviz", "xarray", "emcee", "matplotlib", "tqdm"}
#: typing is there for the NamedTuples that the kernels take; nothing of it is compiled.
KERNEL_IMPORTS = {"__future__", "typing", "math", "numpy", "numba"}
#: The module that names the folder of the machine code; it holds no kernel.
KERNEL_BUILD = ("kernels/cache.py", "kernels/linking.py")


class Import(NamedTuple):
    """One import statement: the file, the module it names, and whether it runs at import."""

    path: str
    line: int
    module: str
    at_import: bool


def _runs_later(node: ast.AST) -> bool:
    """Whether the node is a function, or ``if TYPE_CHECKING:``, which never runs at all."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _walk_nodes(node: ast.AST, at_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Yield all nodes, and whether they run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child, at_import
        yield from _walk_nodes(child, at_import and not _runs_later(child))


def _name_modules(node: ast.AST, package: tuple[str, ...]) -> list[str]:
    """Return the absolute names of what an import statement imports; nothing for other nodes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = list(package[: len(package) - node.level + 1]) if node.level else []
    base += node.module.split(".") if node.module else []
    if base == ["bayesphot"]:
        return [f"bayesphot.{alias.name}" for alias in node.names]
    return [".".join(base)]


def read_imports(text: str, path: str) -> list[Import]:
    """Return every import of a module's text; `path` is relative to the package."""
    package = ("bayesphot", *Path(path).parent.parts)
    return [
        Import(path, node.lineno, module, at_import)
        for node, at_import in _walk_nodes(ast.parse(text))
        for module in _name_modules(node, package)
    ]


def find_bad_arrows(imports: list[Import]) -> list[str]:
    """Return the imports of the package that do not point down."""
    bad = []
    for found in imports:
        importer = Path(found.path).with_suffix("").parts[0]
        parts = found.module.split(".")
        if importer in OUTSIDE or parts[0] != "bayesphot":
            continue
        target = parts[1] if len(parts) > 1 else ""
        if target == importer or target.startswith("__"):
            continue
        if (importer, target) in DOORS and not found.at_import:
            continue
        if importer not in LEVEL:
            bad.append(f"{found.path}: {importer} has no place in the house")
        elif target not in LEVEL:
            bad.append(f"{found.path}:{found.line}: {target} is not a module of the house")
        elif LEVEL[target] >= LEVEL[importer]:
            bad.append(f"{found.path}:{found.line}: {importer} imports {target or 'bayesphot'}")
    return bad


def _read_package() -> list[Import]:
    return [
        found
        for path in sorted(PACKAGE.rglob("*.py"))
        for found in read_imports(path.read_text(), path.relative_to(PACKAGE).as_posix())
    ]


IMPORTS = _read_package()


def test_arrows_point_down_and_siblings_do_not_import_each_other() -> None:
    assert find_bad_arrows(IMPORTS) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("target.py", "from .fitting import fit_group"),
        ("fitting.py", "def fit():\n    from . import background"),
        ("sampling/emcee.py", "from ..result import PhotometryResult"),
        ("kernels/group.py", "import bayesphot.psf"),
        ("result.py", "import bayesphot"),
        ("result.py", "from . import plotting"),
        ("patch.py", "from .helpers import anything"),
        ("helpers.py", "from .flags import Flag"),
    ],
)
def test_an_arrow_that_points_up_or_sideways_is_found(path: str, text: str) -> None:
    assert len(find_bad_arrows(read_imports(text, path))) == 1


def test_arrows_down_and_inside_a_package_are_allowed() -> None:
    text = "from ..target import Target\nfrom .settings import Settings\nfrom .. import kernels"
    assert find_bad_arrows(read_imports(text, "sampling/independence.py")) == []
    assert find_bad_arrows(read_imports("import bayesphot as bp", "commands.py")) == []


def test_only_one_module_of_sampling_imports_emcee() -> None:
    importers = {found.path for found in IMPORTS if found.module.split(".")[0] == "emcee"}
    assert len(importers) <= 1
    assert all(path.startswith("sampling/") for path in importers)


def test_slow_packages_are_imported_inside_functions_only() -> None:
    eager = [found for found in IMPORTS if found.at_import and found.module.split(".")[0] in LAZY]
    assert eager == []


def test_kernels_import_only_math_numpy_and_numba() -> None:
    foreign = [
        found
        for found in IMPORTS
        if found.path.startswith("kernels/")
        and found.path not in KERNEL_BUILD
        and not found.module.startswith("bayesphot.kernels")
        and found.module.split(".")[0] not in KERNEL_IMPORTS
    ]
    assert foreign == []


def _list_modules(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after the statement."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_slow() -> None:
    slow = {"arviz", "xarray", "matplotlib", "emcee", "numba", "scipy.optimize", "tqdm"}
    assert _list_modules("import bayesphot").isdisjoint(slow)


def test_the_help_of_the_command_line_needs_no_numpy() -> None:
    statement = (
        "import io, contextlib, bayesphot.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    bayesphot.cli.main(['--help'])"
    )
    assert _list_modules(statement).isdisjoint({"numpy", "astropy", "scipy", "numba"})


def test_every_public_name_is_listed_and_has_a_home() -> None:
    assert set(bayesphot._HOME) | {"__version__"} == set(bayesphot.__all__)
    assert set(bayesphot.__all__) <= set(dir(bayesphot))


@pytest.mark.parametrize("name", bayesphot.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(bayesphot, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PhotometryMagic'"):
        _ = bayesphot.PhotometryMagic
