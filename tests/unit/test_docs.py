"""The pages: their code prints what they show, their commands parse, nothing is left out."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import bayesphot
from bayesphot.cli import _build_parser

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
NAMES = [path.name for path in PAGES]
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d*)?(?:e[-+]\d+)?(?![\w.])")


def _load_runner():
    """Return docs/run_snippets.py as a module."""
    spec = importlib.util.spec_from_file_location("run_snippets", DOCS / "run_snippets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runner = _load_runner()


def _mask_numbers(text: str) -> str:
    """Return the text with its layout and numbers taken out.

    Whether chains of a group are just long enough, or are run longer, is a matter of rounding.
    """
    text = re.sub(r"independence(, independence\+)?(?!\w)", "independence", text)
    return " ".join(re.sub(r"-{2,}", "", NUMBER.sub("#", text)).split())


def _read_numbers(text: str) -> np.ndarray:
    return np.array([float(number) for number in NUMBER.findall(text)])


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
@pytest.mark.filterwarnings("default")
def test_snippets_run_and_print_what_the_page_shows(path, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    blocks = runner.read_blocks(path.read_text())
    code = [block for block in blocks if block.language == "python"]
    try:
        printed = runner.run_blocks(blocks, path.name, tmp_path)
    except ModuleNotFoundError as missing:
        if missing.name.partition(".")[0] != "photutils":
            raise
        pytest.skip("photutils is not installed")
    for block, text in zip(code, printed, strict=True):
        if block.shown is None:
            assert not text.strip(), f"line {block.line} prints, but the page does not show it"
            continue
        where = f"{path.name}, line {block.shown.line}"
        assert _mask_numbers(text) == _mask_numbers(block.shown.text), where
        # Pages show results of sampling, which other versions of numpy and numba round anew: a
        # tenth is 3 times the Monte-Carlo error of a standard deviation from 400 draws.
        np.testing.assert_allclose(
            _read_numbers(text), _read_numbers(block.shown.text), rtol=0.1, atol=1e-3, err_msg=where
        )


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("*.md")), *PAGES[1:]], ids=lambda path: path.name
)
def test_pages_have_no_halves_of_a_merge(path):
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", path.read_text(), flags=re.MULTILINE)


#: Figures of images that are not part of the project, and the scripts that draw them.
DRAWN_BY = {"figures/psf_spitzer_flight.png": "benchmarks/real_images/own_psf.py"}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_figures_shown_are_drawn_by_the_snippets(path):
    text = path.read_text()
    shown = set(re.findall(r"!\[[^]]*\]\((figures/[^)]+)\)", text))
    by_scripts = {figure for figure in shown if figure in DRAWN_BY}
    assert shown - by_scripts == set(re.findall(r'"(figures/[^"]+)"', text))
    for figure in by_scripts:
        script = DOCS.parent / DRAWN_BY[figure]
        assert Path(figure).name in script.read_text()
        assert script.name in text


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def _find_anchors(path: Path) -> set[str]:
    """Return the anchors that a forge gives to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_anchors_of_links_exist(path):
    for target, anchor in re.findall(r"\]\(([^)#]*\.md)?#([^)]+)\)", path.read_text()):
        assert anchor in _find_anchors(path.parent / target if target else path)


def _find_commands(path: Path) -> list[str]:
    """Return the bayesphot commands of a page's console and sh blocks."""
    commands = []
    for block in runner.read_blocks(path.read_text()):
        if block.language in ("console", "sh"):
            lines = block.text.replace("\\\n", " ").splitlines()
            commands += [line.removeprefix("$ ") for line in lines]
    return [command for command in commands if command.startswith("bayesphot ")]


COMMANDS = sorted({command for path in PAGES for command in _find_commands(path)})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
    if "COMMAND" in command:
        pytest.skip("a pattern, not a command")
    assert _build_parser().parse_args(shlex.split(command)[1:]).command


def test_commands_are_found():
    assert {command.split()[1] for command in COMMANDS} >= {"run", "demo", "simulate", "warmup"}


@pytest.mark.parametrize("name", sorted(set(bayesphot.__all__) - {"__version__"}))
def test_every_public_name_is_on_the_pages(name):
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    assert re.search(rf"\b{name}\b", pages)


@pytest.mark.parametrize("flag", [flag.name for flag in bayesphot.Flag])
def test_every_flag_has_its_meaning_and_what_to_do(flag):
    assert f"\n| `{flag}` |" in (DOCS / "posteriors.md").read_text()


def test_every_column_has_its_meaning():
    scene = bayesphot.simulate_scene((25, 25), n_sources=1, sigma=1.5, noise=1.0, seed=1, border=8)
    phot = bayesphot.BasicPSFPhotometry(
        psf_model=bayesphot.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False,
        zero_point=25.0,
    )  # fmt: skip
    columns = phot(scene.image, error=scene.error, positions=scene.truth).colnames
    page = (DOCS / "psf_photometry.md").read_text().partition("## The columns")[2]
    for name in columns:
        generic = re.sub(r"^(x|y|flux|sigma|background)_(?!err_cond)", "p_", name)
        assert f"`{generic}`" in page, name


def test_every_room_of_the_house_is_on_the_page():
    package = Path(bayesphot.__file__).parent
    rooms = {path.stem for path in package.glob("[a-z]*.py")}
    rooms |= {path.parent.name for path in package.glob("*/__init__.py")}
    page = (DOCS / "architecture.md").read_text()
    assert not [room for room in sorted(rooms) if f"`{room}`" not in page]
