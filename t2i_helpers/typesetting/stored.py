"""The stored results that the report is made from, read once each.

`root` is a folder laid out like the repository: ``checkpoints/``, ``figures/``, ``report/``.
"""

import json
from pathlib import Path

from safetensors import SafetensorError

from ..errors import BadData, one_line
from ..paths import ROOT, WEIGHTS
from ..provenance import count_parameters

EVALUATE, STUDY = "run t2i evaluate", "run t2i evaluate study"           # remedies
DRAW, RESTORE = "run t2i figures", "restore it with git checkout"


class Stored:
    """Reads files under `root`, and remembers them and the `last`; BadData, with the remedy, where one is missing, cut
    short or of another form."""

    def __init__(self, root=ROOT):
        self.root, self.last, self._read = Path(root), None, {}

    def json(self, name: str, remedy: str = RESTORE) -> dict:
        """A JSON file's content; `name` is its path from the root."""
        return self._once(name, remedy, json.loads)

    def lines(self, name: str, remedy: str = STUDY) -> list[dict]:
        """The objects of a JSON-lines file."""
        return self._once(name, remedy, lambda text: [json.loads(line) for line in text.splitlines()])

    def parameters(self, checkpoint: str, weights=WEIGHTS) -> int:
        """The parameters of a checkpoint's U-Net, or of other `weights` in its folder, counted from the header of the
        safetensors file; the folder's path from the root."""
        path = self.root / checkpoint / weights
        try:
            return count_parameters(path)
        except (OSError, SafetensorError) as error:
            raise BadData(f"{path} cannot be read ({one_line(error)}): {RESTORE}") from error

    def uncommitted(self) -> list[str]:
        """The files read so far whose record says that uncommitted code made them."""
        records = {name: found if isinstance(found, list) else [found] for name, found in self._read.items()}
        return sorted(name for name, found in records.items() if any(each.get("git_dirty") for each in found))

    def _once(self, name, remedy, parse):
        self.last = name
        if name not in self._read:
            try:
                self._read[name] = parse((self.root / name).read_text())
            except (OSError, ValueError) as error:
                raise BadData(f"{self.root / name} is missing or cut short ({one_line(error)}): {remedy}") from error
        return self._read[name]
