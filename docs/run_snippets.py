"""Run the Python blocks of the pages, in order, in one namespace per page.

``python docs/run_snippets.py [PAGE ...]`` renews what the pages show: the ``text`` block that
follows a block of Python is what that block prints, and figures are saved where the snippets say.
The tests run the same code in an empty folder and compare.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "read_blocks", "run_blocks"]

DOCS = Path(__file__).resolve().parent
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language and text, where it starts, and what it must print."""

    language: str
    text: str
    line: int
    start: int
    stop: int
    shown: Block | None = None


def read_blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page; Python knows the ``text`` block right after it."""
    blocks: list[Block] = []
    for match in reversed(list(_FENCED.finditer(page))):
        line = page.count("\n", 0, match.start()) + 2
        shown = None
        if match[1] == "python" and blocks and blocks[-1].language == "text":
            between = page[match.end() : blocks[-1].start - len("```text\n")]
            shown = blocks[-1] if not between.strip() else None
        blocks.append(Block(match[1], match[2], line, match.start(2), match.end(2), shown))
    return blocks[::-1]


def run_blocks(blocks: list[Block], name: str, folder: Path) -> list[str]:
    """Run the Python blocks inside a folder; return what each printed.

    Parameters
    ----------
    blocks : list of Block
        Blocks of one page, all languages.
    name : str
        The page, for tracebacks.
    folder : Path
        The working folder; a folder ``figures`` is made there.
    """
    (folder / "figures").mkdir(exist_ok=True)
    namespace: dict = {"__name__": "snippets"}
    printed = []
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks:
            if block.language != "python":
                continue
            # Empty lines before the code make tracebacks point into the page.
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, namespace)
            printed.append(output.getvalue())
    finally:
        os.chdir(before)
    return printed


def renew_page(path: Path) -> None:
    """Run a page, put what was printed into it, and keep its figures."""
    page = path.read_text()
    blocks = read_blocks(page)
    with tempfile.TemporaryDirectory() as folder:
        printed = run_blocks(blocks, path.name, Path(folder))
        shutil.copytree(Path(folder, "figures"), DOCS / "figures", dirs_exist_ok=True)
    code = [block for block in blocks if block.language == "python"]
    for block, text in reversed(list(zip(code, printed, strict=True))):
        if block.shown is not None:
            tidy = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
            page = page[: block.shown.start] + tidy + page[block.shown.stop :]
    path.write_text(page)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ["COLUMNS"] = "100"
    for chosen in sys.argv[1:] or sorted(DOCS.glob("*.md")):
        renew_page(Path(chosen))
        print(chosen)
