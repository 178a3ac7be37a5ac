"""The notebooks: they run from the top, as they are committed, and end in a picture."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="notebooks are executed by nbclient")
pytest.importorskip("ipykernel", reason="notebooks need a kernel of this Python")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def _load_runner():
    """Return examples/run_notebooks.py as a module."""
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(path: Path):
    import nbformat

    return nbformat.read(path, as_version=4)


def _code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _has_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
# The kernel's client, not this package, closes its sockets late and forks beside threads.
@pytest.mark.filterwarnings("default")
def test_notebook_runs_and_ends_in_a_picture(path):
    executed = _load_runner().run_notebook(path)
    assert _has_picture(_code(executed)[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_committed_notebook_holds_the_outputs_of_one_run_from_the_top(path):
    code = _code(_read(path))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert _has_picture(code[-1])
    outputs = [output for cell in code for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_committed_notebook_is_small_and_names_no_machine(path):
    text = path.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_shows_diagnostics_of_arviz(path):
    source = "".join(cell.source for cell in _code(_read(path)))
    assert "az.summary(" in source
    assert "az.rhat(" in source


def test_the_notebooks_of_the_index_are_there():
    index = (EXAMPLES.parent / "docs" / "index.md").read_text()
    assert set(re.findall(r"examples/(\w+)\.ipynb", index)) == set(NAMES)
