"""Execution of the notebooks, which draw every figure and table of the report."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from ..errors import BadData
from ..paths import ROOT, atomic_write


def execute_notebooks(size: str, folder: Path = ROOT / "notebooks"):
    """Execute the notebooks of `folder` with T2I_SIZE = `size`, in place except at `smoke`; yields each path.

    Raises BadData, naming notebook, cell and error, for a cell that fails; that notebook is left as it was.
    """
    out = ROOT / "build" / "smoke-notebooks" if size == "smoke" else folder
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=None, kernel_name="python3", record_timing=False,
                                resources={"metadata": {"path": str(folder)}})
        try:
            client.execute(env=os.environ | {"T2I_SIZE": size})
        except (CellExecutionError, DeadKernelError) as error:
            raise BadData(f"notebook {path.name}, {_failure(notebook, error)}: correct it and run t2i figures again"
                          ) from error
        with atomic_write(out / path.name) as temporary:
            nbformat.write(notebook, temporary)
        yield out / path.name


def _failure(notebook, error) -> str:
    """The number of the cell that failed and its error, in one line."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, 1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"code cell {number}: {output.ename}: {' '.join(output.evalue.split())[:160]}"
    return " ".join(str(error).split())[:160]
