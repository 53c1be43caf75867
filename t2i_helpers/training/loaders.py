"""Training images: the decoded dataset in memory, or WikiArt's files as a stream."""

import signal

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..data import WikiArtStream, find_paintings, load_images, split_of_rows
from ..data.images import painting_source_label
from ..data.wikiart_files import read_labels
from ..errors import BadData, BadValue, check_name
from ..models import latents_of
from ..randomness import epoch_order


class ResidentImages:
    """The training images on the device: uint8 [n, c, h, w], or latents float16 [n, 2, 4, h, w], one mirrored."""

    stream, space = None, None

    def __init__(self, preset, device):
        self.preset, dataset = preset, load_images(preset, "train")
        self.source, self.fingerprint, self.classes = dataset.source, dataset.fingerprint, dataset.classes
        images = dataset.images
        if preset.autoencoder is not None:
            images, self.space = latents_of(dataset, preset.autoencoder)
        self.images, self.labels, self.genres = (x.to(device) for x in (images, dataset.labels, dataset.genres))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, step: int):
        """(images [n, ...], labels, genres and places among the training images, int64 [n] each) of step `step`, by the
        shuffle of its epoch."""
        size = self.preset.batch_size
        epoch, place = divmod(step, -(-len(self) // size))
        rows = epoch_order(len(self), self.preset.seed, epoch)[place * size:(place + 1) * size]
        chosen = rows.to(self.labels.device)
        return self.images[chosen], self.labels[chosen], self.genres[chosen], rows


class StreamedImages:
    """WikiArt's training paintings from a `WikiArtStream`, which one process decodes in bounded memory. The next epoch
    begins when the stream ends: with undecodable rows, some steps earlier than the store's."""

    space = None

    def __init__(self, preset, device):
        paintings, self.device = find_paintings(preset), device
        self.stream = WikiArtStream(paintings.files, preset.resolution, preset.seed)
        styles, genres = map(np.concatenate, zip(*map(read_labels, self.stream.files)))  # int64 [rows] each
        kept = split_of_rows(preset, "train", np.arange(len(styles)), styles, genres)    # bool [rows]
        if not kept.any():
            raise BadData(f"{paintings.source} holds no images of the split 'train': name another source")
        self.genres, self.classes, self.images = torch.from_numpy(genres), np.unique(styles[kept]).tolist(), kept.sum()
        self.source = painting_source_label(preset, paintings.source, len(styles), styles)
        self.fingerprint = f"{self.stream.state_dict()['files']}-train-{len(self)}"
        self.batches = self.endless_batches(preset.batch_size, np.flatnonzero(~kept))
        print(f"data: wikiart train, {len(self):,} images as a stream, {self.source}")

    def __len__(self) -> int:
        return int(self.images)

    def batch(self, step: int):
        """(images uint8 [n, 3, h, w], labels, genres and rows in WikiArt, int64 [n] each): the next ones, independent
        of `step`."""
        images, labels, rows = next(self.batches)
        self.stream.mark_seen(rows)
        return images.to(self.device), labels.to(self.device), self.genres[rows].to(self.device), rows

    def endless_batches(self, size, left_out):
        """Batches of (images, styles, row ids) from the rest of the epoch, and all later ones, without `left_out`."""
        stream = self.stream
        while True:
            stream.mark_seen(left_out)
            stream.load_state_dict(stream.state_dict())      # skips seen and undecodable rows
            yield from DataLoader(stream, size, num_workers=1, worker_init_fn=_ignore_ctrl_c)
            if len(stream.rejected) + len(left_out) == len(stream.row_ids):
                raise BadData(f"none of the paintings can be decoded, such as row {min(stream.rejected)}: name others")
            stream.set_epoch(stream.epoch + 1)


LOADERS = {"store": ResidentImages, "stream": StreamedImages}


def check_loader(loader: str, preset, processes: int) -> None:
    """Raise UnknownName for a loader that is not in LOADERS, BadValue for one that this training cannot use."""
    check_name("loader", loader, LOADERS)
    if loader == "store":
        return
    if preset.dataset != "wikiart":
        raise BadValue(f"the stream reads WikiArt's files, not {preset.dataset}: choose --loader store")
    if preset.autoencoder is not None:
        raise BadValue("the stream yields no latents: choose --loader store, or --variant thesis")
    if processes > 1:
        raise BadValue(f"the stream works in one process, not {processes}: choose --loader store, or start one process")


def _ignore_ctrl_c(worker):
    """Only the training process decides when to stop; Ctrl-C and SLURM's warning reach all processes."""
    for name in {"SIGINT", "SIGUSR1"} & {*dir(signal)}:                    # Windows lacks the second
        signal.signal(getattr(signal, name), signal.SIG_IGN)
