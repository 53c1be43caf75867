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
                                store_widget_state=False, resources={"metadata": {"path": str(folder)}})
        try:
            client.execute(env=os.environ | {"T2I_SIZE": size})
        except (CellExecutionError, DeadKernelError) as error:
            why = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
            raise BadData(f"notebook {path.name}, code cell {client.code_cells_executed}: "
                          f"{' '.join(why.split())[:160]}: correct it and run t2i figures again") from error
        with atomic_write(out / path.name) as temporary:
            nbformat.write(notebook, temporary)
        yield out / path.name
