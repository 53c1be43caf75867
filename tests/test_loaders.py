"""What the loaders feed a training: the same paintings with the same captions, from the store or from the stream."""

import dataclasses
import json
import math
import os

import numpy as np
import pytest
from support import TINY_UNET, Killed, at_step, jpeg, refuses

from t2i_helpers import cli, presets
from t2i_helpers.data import CLASS_NAMES, GENRES, HELD_OUT_PAIRS, every_caption, painting_store, to_uint8, to_unit
from t2i_helpers.data.wikiart_files import write_art_file
from t2i_helpers.errors import BadCheckpoint, BadData, BadValue, Diverged, UnknownName
from t2i_helpers.models import caption_table
from t2i_helpers.training import Run, loaders, loop, train

TINY = dataclasses.replace(presets.get("wikiart", "thesis", "smoke"), max_steps=None, resolution=16, max_length=16,
                           **TINY_UNET)
FROM_FILES = dataclasses.replace(TINY, data_source="hub", genre_dropout=0.3, caption_dropout=0.3, epochs=3)
ROWS, FILES = 48, 3
STYLES, GENRE_NAMES = CLASS_NAMES["wikiart"], [*GENRES, "unknown"]
BROKEN = 21
ASKED_LATER = {3: 0, 17: 4, 18: 5, 45: 9}                                # row: the place of its pair in HELD_OUT_PAIRS

LABELS = [(STYLES[5 * row % 27], GENRE_NAMES[row % 11]) for row in range(ROWS)]
for row, place in ASKED_LATER.items():
    LABELS[row] = HELD_OUT_PAIRS[place][::-1]
TRAINING_ROWS = [row for row, (style, genre) in enumerate(LABELS)
                 if row % 20 and (genre, style) not in HELD_OUT_PAIRS and row != BROKEN]
EPOCH = -(-len(TRAINING_ROWS) // TINY.batch_size)                        # batches of a stream


def write_mirror(root, broken):
    for number, rows in enumerate(np.array_split(range(ROWS), FILES)):
        pictures = [jpeg(np.random.default_rng(row).integers(256, size=(20, 24, 3), dtype=np.uint8))
                    if row not in broken else b"broken" for row in rows]
        styles, genres = ([names.index(LABELS[row][place]) for row in rows]
                          for place, names in enumerate((STYLES, GENRE_NAMES)))
        write_art_file(root / f"datasets/huggan/wikiart/train-{number:05d}.parquet", pictures, styles, genres)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirror")
    write_mirror(root, [BROKEN])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2I_MIRROR", str(root))
        patch.setattr(os, "cpu_count", lambda: 1)                        # decode in this process
        yield root


@pytest.fixture
def fed(monkeypatch):
    """(row ids, captions) of each step's batch, from its pixels and embeddings; the steps cost nothing."""
    store, texts = painting_store(FROM_FILES), [*every_caption(FROM_FILES), ""]
    table = caption_table("minilm", every_caption(FROM_FILES), FROM_FILES.max_length)
    rows = {image.transpose(2, 0, 1).tobytes(): int(row) for image, row in zip(store.images, store.row_ids)}
    steps = []

    def watch(unet, scheduler, x_0, c, *rest):
        images = to_uint8(to_unit(x_0, FROM_FILES.pixel_range))
        captions = (c[:, None] == table).flatten(2).all(2).long().argmax(1)
        steps.append(([rows[image.numpy().tobytes()] for image in images], [texts[i] for i in captions]))
        return 0 * next(unet.parameters()).sum()

    monkeypatch.setattr(loop, "training_loss", watch)
    return steps


def rows_of(steps):
    return sorted(row for rows, _ in steps for row in rows)


def captions_of(row):
    style, genre = LABELS[row]
    return {"", f"A painting in the style of {style}", f"{GENRES.get(genre, 'A painting')} in the style of {style}"}


@pytest.mark.parametrize("loader", loaders.LOADERS)
def test_an_epoch_has_every_training_painting_once_with_its_own_caption(loader, mirror, fed, tmp_path):
    train(FROM_FILES, tmp_path / "run", loader=loader, max_steps=2 * EPOCH)
    first, second = fed[:EPOCH], fed[EPOCH:]
    assert rows_of(first) == rows_of(second) == TRAINING_ROWS, "a held-out or broken painting, or one twice"
    assert first[0][0] != second[0][0], "the order is the same in both epochs"
    assert all(caption in captions_of(row) for rows, captions in fed for row, caption in zip(rows, captions))
    kinds = {caption.split(" in the style")[0] for _, captions in fed for caption in captions}
    assert {"", "A painting", "A landscape", "A sketch"} <= kinds


def test_a_streams_epochs_follow_each_other_where_broken_rows_make_them_shorter(mirror, fed, tmp_path):
    preset = dataclasses.replace(FROM_FILES, batch_size=len(TRAINING_ROWS), epochs=2)
    run = train(preset, tmp_path / "run", loader="stream")
    assert run.config()["training_images"] == len(TRAINING_ROWS) + 1, "the broken one is counted"
    assert len(fed) == 4 and all(sorted(rows) == TRAINING_ROWS for rows, _ in fed)


def test_a_stopped_or_killed_stream_gives_each_remaining_painting_once(mirror, fed, tmp_path):
    train(FROM_FILES, tmp_path / "run", loader="stream", max_steps=1)
    with at_step(3), pytest.raises(Killed):
        train(FROM_FILES, tmp_path / "run", loader="stream", max_steps=EPOCH, state_every=2)
    del fed[2:]                                                          # the third step was not saved
    for steps in (EPOCH, 2 * EPOCH):
        train(FROM_FILES, tmp_path / "run", loader="stream", max_steps=steps)
    assert rows_of(fed[:EPOCH]) == rows_of(fed[EPOCH:]) == TRAINING_ROWS


@pytest.mark.parametrize("preset, loader, error, words", [
    (TINY, "disk", UnknownName, ["unknown loader 'disk'", "store, stream"]),
    (presets.get("mnist", size="smoke"), "stream", BadValue, ["not mnist", "--loader store"]),
    (presets.get("wikiart", size="smoke"), "stream", BadValue, ["latents", "--loader store"]),
], ids=["unknown", "mnist", "latents"])
def test_a_loader_that_cannot_feed_a_preset_is_refused_at_once(preset, loader, error, words, monkeypatch, tmp_path):
    for name in ("load_images", "find_paintings"):
        monkeypatch.setattr(loaders, name, lambda *_: pytest.fail("data are read"))
    for action in (train, lambda preset, out, loader: cli.train(preset.dataset, preset.variant, "smoke", out=out,
                                                                 loader=loader)):
        with refuses(error, *words):
            action(preset, tmp_path / "run", loader=loader)
    assert not (tmp_path / "run").exists()
    loaders.check_loader("store", TINY, 2)
    loaders.check_loader("stream", TINY, 1)
    with refuses(BadValue, "not 2", "--loader store"):
        loaders.check_loader("stream", TINY, 2)


def test_a_run_goes_on_with_its_own_loader_alone(mirror, fed, monkeypatch, tmp_path):
    for loader in loaders.LOADERS:
        run = train(FROM_FILES, tmp_path / loader, loader=loader, max_steps=1)
        assert run.config()["loader"] == loader
    config = Run(tmp_path / "store").config()
    del config["loader"]                                                 # as written before there were loaders
    Run(tmp_path / "store").config_file.write_text(json.dumps(config))
    monkeypatch.setattr(loaders, "load_images", lambda *_: pytest.fail("data are read"))
    for held, given in (("store", "stream"), ("stream", "store")):
        with refuses(BadCheckpoint, str(tmp_path / held), f"loader '{held}', not '{given}'", "choose another --out"):
            train(FROM_FILES, tmp_path / held, loader=given, max_steps=2)


def test_a_stream_of_broken_paintings_and_one_without_training_rows_are_told(monkeypatch, tmp_path):
    write_mirror(tmp_path / "mirror", range(ROWS))
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path / "mirror"))
    with refuses(BadData, "none of the paintings can be decoded", "row 1:"):
        train(FROM_FILES, tmp_path / "run", loader="stream")
    monkeypatch.setattr(loaders, "split_of_rows", lambda *_: np.zeros(ROWS, bool))
    with refuses(BadData, "no images of the split 'train'"):
        train(FROM_FILES, tmp_path / "other", loader="stream")


def test_a_loss_of_nan_names_the_rows_of_a_stream_s_images(mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "training_loss", lambda unet, *_: math.nan * next(unet.parameters()).sum())
    with refuses(Diverged, "nan at step 1", "of the images [", "the state of step 0"):
        train(FROM_FILES, tmp_path / "run", loader="stream", max_steps=1)
