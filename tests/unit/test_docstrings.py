"""The examples of the docstrings: they run as they stand, and nothing public is without one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest

import bayesphot as bp

#: What is returned to users, whose methods they call by themselves.
RESULTS = (bp.PhotometryResult, bp.CalibrationResult, bp.PSFBuild)
#: Importing it runs the command line.
ENTRY = "bayesphot.__main__"


def import_modules() -> list[ModuleType]:
    """Return the package and all modules in it."""
    names = [found.name for found in pkgutil.walk_packages(bp.__path__, "bayesphot.")]
    return [bp, *(importlib.import_module(name) for name in names if name != ENTRY)]


def list_examples() -> list[doctest.DocTest]:
    """Return the docstrings that have examples, each to be run in a namespace of its own."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for module in import_modules() for test in finder.find(module, globs={})]
    return sorted((test for test in found if test.examples), key=lambda test: test.name)


EXAMPLES = list_examples()


def find_beginning(example: doctest.DocTest) -> doctest.DocTest | None:
    """Return the example from which that of a method of a result goes on: that of its class."""
    owner = example.name.rpartition(".")[0]
    for kind in RESULTS:
        owners = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
        if owner in owners:
            return next(found for found in EXAMPLES if found.name == owners[0])
    return None


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_an_example_runs_and_gives_what_it_shows(example, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    beginning = find_beginning(example)
    runner = doctest.DocTestRunner(verbose=False)
    if beginning is not None:
        runner.run(beginning, out=report.append, clear_globs=False)
        example.globs.update(beginning.globs)
    runner.run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_no_line_of_an_example_is_skipped(example) -> None:
    assert not [line.source for line in example.examples if doctest.SKIP in line.options]


def read_examples(thing: object) -> str:
    """Return the examples in a docstring, and what they show."""
    lines = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    return "".join(line.source + line.want for line in lines)


@pytest.mark.parametrize("name", sorted(set(bp.__all__) - {"__version__"}))
def test_every_public_name_is_in_its_own_example(name) -> None:
    found = read_examples(getattr(bp, name))
    assert re.search(rf"\b{name}\b", found), f"the docstring of {name} has no example of it"


def list_methods() -> list[tuple[type, str]]:
    """Return the public methods of results."""
    return [
        (kind, name)
        for kind in RESULTS
        for name, method in inspect.getmembers(kind, inspect.isroutine)
        if not name.startswith("_") and method.__module__.startswith("bayesphot")
    ]


METHODS = list_methods()


@pytest.mark.parametrize(
    ("kind", "name"), METHODS, ids=[f"{kind.__name__}.{name}" for kind, name in METHODS]
)
def test_every_method_of_a_result_is_called_in_an_example(kind, name) -> None:
    """In its own, or in that of its class."""
    found = read_examples(kind) + read_examples(getattr(kind, name))
    assert f".{name}(" in found, f"no example calls {kind.__name__}.{name}"
