"""Execute notebooks with the Python that runs this file.

``python examples/run_notebooks.py [NOTEBOOK ...]`` renews the outputs in the files. The tests call
`run_notebook` and leave the files as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["run_notebook"]

EXAMPLES = Path(__file__).resolve().parent


def run_notebook(path: Path, *, timeout: float = 600.0):
    """Return an executed copy of a notebook.

    Parameters
    ----------
    path : Path
        The notebook.
    timeout : float
        Seconds a cell may take.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    class SamePython(AsyncKernelManager):
        """Starts this interpreter, whatever kernels are installed under the notebook's name."""

        def format_kernel_cmd(self, extra_arguments=None):
            return [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]

    notebook = nbformat.read(path, as_version=4)
    # The package of this copy, and figures inside the notebook.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    places = [str(EXAMPLES.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_manager_class=SamePython,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    # Another version of Python alone is no change.
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def _shrink_pictures(notebook) -> None:
    """Store pictures with 256 colours, a third of the size, where the eye cannot tell."""
    from base64 import b64decode, b64encode
    from io import BytesIO

    import numpy as np
    from PIL import Image

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" not in data:
                continue
            picture = Image.open(BytesIO(b64decode(data["image/png"]))).convert("RGB")
            few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
            error = np.abs(np.subtract(picture, few.convert("RGB"), dtype=np.int16)).max(axis=2)
            chosen = few if np.quantile(error, 0.9999) < 16 else picture
            small = BytesIO()
            chosen.save(small, "PNG", optimize=True)
            data["image/png"] = b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    import nbformat

    for chosen in sys.argv[1:] or sorted(EXAMPLES.glob("*.ipynb")):
        executed = run_notebook(Path(chosen))
        _shrink_pictures(executed)
        nbformat.write(executed, chosen)
        print(chosen)
