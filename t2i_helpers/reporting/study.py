"""The stored guidance study, as figures and tables read it. A row is a cell with its metrics and their record."""

import torch
from torchvision.io import read_image

from ..errors import BadData, one_line
from ..evaluation.experiments import networks
from ..evaluation.study import PARTS, read_experiment, read_part
from ..paths import WEIGHTS, checkpoint_dir, study_dir
from ..presets import DATASETS
from ..provenance import note_use
from .drawing import GREY

FRECHET, ACCURACY = (lambda row: row["classifier"]["frechet"]), (lambda row: row["accuracy"])
DIVERSITY, SATURATION = (lambda row: row["classifier"]["diversity"]), (lambda row: row["saturation"])


def rows_of(part: str, size: str = "demo", keep=lambda row: True) -> list[dict]:
    """The stored rows of a part of the study that `keep` keeps, in order; BadData where any is missing."""
    rows = read_part(part, size)
    if missing := sum(cell not in rows for cell in PARTS[part]):
        raise BadData(f"{missing} of {len(PARTS[part])} cells of {part} are not measured with the networks that are "
                      "here: run t2i evaluate study")
    return noted([rows[cell] for cell in PARTS[part] if keep(rows[cell])], part, size)


def noted(rows: list[dict], part: str, size: str) -> list[dict]:
    """The rows, recorded with their file and, where they ship, their networks."""
    datasets = {row["cell"]["checkpoint"] for row in rows} & set(DATASETS)
    for file in (study_dir(size) / f"{part}.jsonl",
                 *(checkpoint_dir(dataset, "improved", size) / WEIGHTS for dataset in sorted(datasets))):
        if file.exists():                                           # an optional part may be missing
            note_use("file", file)
    note_use("rows", rows)
    return rows


def experiment(name: str, size: str = "demo") -> dict:
    """The stored result of an experiment; BadData where none fits the networks and settings of now."""
    result = read_experiment(name, size)
    if not result:
        raise BadData(f"{name} was not measured with the networks and settings that are here: run t2i evaluate study")
    for file in (study_dir(size) / f"{name}.json", *networks(name, size).values()):
        note_use("file", file)
    return result


def points(rows) -> list[list[float]]:
    """The Frechet distances and the accuracies of rows."""
    return [[metric(row)["value"] for row in rows] for metric in (FRECHET, ACCURACY)]


def finish_tradeoff(axis, row, **settings) -> None:
    """Labels of an axis of `points`, and the point of real images, which `row` was compared with."""
    axis.plot(*(metric(row)["real"]["value"] for metric in (FRECHET, ACCURACY)), "*", markersize=9, color=GREY,
              label="real images")
    axis.set(xlabel="Fréchet distance (better →)", ylabel="accuracy", **settings)
    axis.invert_xaxis()


def grouped(rows, key) -> dict:
    """{key of a row: the rows that have it}, in order."""
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def picture(row, size: str = "demo") -> torch.Tensor:
    """The ten images that a row keeps, float32 [10, 3, h, w] in [0, 1]; BadData where its file cannot be read."""
    path = study_dir(size) / "pictures" / row["picture"]
    try:
        strip = read_image(str(path))                                                  # [3, h, 10 w]
    except RuntimeError as error:
        raise BadData(f"{path} cannot be read ({one_line(error)}): restore it") from error
    note_use("file", path)
    return torch.stack(strip.float().div(255).chunk(10, dim=2))
