"""MNIST, CIFAR-10 and Fashion-MNIST as Parquet files that the datasets library wrote, on the hub or elsewhere."""

import numpy as np
import torch

from ..errors import BadData
from .decoding import Undecodable, decode_unresized
from .wikiart_files import known_labels, open_parquet, read_features

READ_AT_ONCE = 1024                      # rows
SHORTER = {"t - shirt / top": "t-shirt"}  # names of classes in files, and in captions


def read_labelled(paths, names: tuple[str, ...], channels: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(uint8 [n, channels, side, side], int64 [n]) of the pictures in `paths` and their classes, indices into `names`.

    Columns are found by their type, labels translated by the names in the file, and other kinds of pictures converted.
    Raises BadData, naming file and row, for labels of no class, pictures of another size, and damage.
    """
    images, labels = [], []
    for path in map(str, paths):
        with open_parquet(path) as (parquet, _, progress):
            picture, label, own_names = _columns(path, parquet, names)
            progress["rows"] = 0
            for batch in parquet.iter_batches(READ_AT_ONCE, columns=[f"{picture}.bytes", label]):
                labels.append(known_labels(path, progress["rows"], batch.column(label), own_names, names, "label"))
                for encoded in batch.column(picture).field("bytes"):
                    try:
                        images.append(decode_unresized(encoded.as_py(), channels, side))
                    except Undecodable as reason:
                        raise BadData(f"{path}, row {progress['rows']}: {reason}; correct or drop the row") from reason
                    progress["rows"] += 1
    if not images:
        raise BadData(f"{', '.join(map(str, paths))} holds no rows: fetch the file again")
    return torch.stack(images), torch.from_numpy(np.concatenate(labels))


def _columns(path, parquet, names):
    """The columns of the pictures and of their labels, and the file's own label names."""
    features = read_features(parquet)
    pictures = [name for name, feature in features.items()
                if feature.get("_type") == "Image" and f"{name}.bytes" in {column.path for column in parquet.schema}]
    own = {column: [SHORTER.get(name, name) for name in (name.replace("_", " ").lower() for name in feature["names"])]
           for column, feature in features.items() if feature.get("names")}
    label = max(own, key=lambda name: len({*own[name]} & {*names}), default=None)
    if len(pictures) != 1 or label is None:
        raise BadData(f"{path} has {len(pictures)} columns of pictures and {len(own)} of class labels: write it with "
                      "the datasets library, as one Image and one ClassLabel")
    return pictures[0], label, own[label]
