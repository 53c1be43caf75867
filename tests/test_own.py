"""A user's own images: what is read, what is refused, and from a folder to a trained and evaluated model."""

import io
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support import refuses
from torchvision.io import write_png

from t2i_helpers.cli import main
from t2i_helpers.data import captions, load_images, own_preset
from t2i_helpers.data.synthetic import draw_shapes
from t2i_helpers.errors import BadData, BadValue, PromptTooLong
from t2i_helpers.evaluation import evaluate, metrics
from t2i_helpers.models import load_pipeline
from t2i_helpers.training import Run, train

NAMES = ("red_star", "green_star", "blue_star")
PER_CLASS = 34


def write_folder(folder, n=PER_CLASS, size=24):
    """`n` drawn shapes for each of NAMES, in sub-folders; returns `folder`."""
    images, labels = draw_shapes(n * len(NAMES), len(NAMES), size, seed="own")
    for number, (image, label) in enumerate(zip(images, labels)):
        path = folder / NAMES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(image, str(path))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images in sub-folders, and with captions as paths.csv, bytes.parquet and structs.parquet."""
    folder = write_folder(tmp_path_factory.mktemp("own") / "stars")
    files = sorted(folder.glob("*/*.png"))
    texts = [f"a {file.parent.name.replace('_', ' ')}, drawn" for file in files]
    lines = [f'{file.relative_to(folder)},"{text}"' for file, text in zip(files, texts)]
    (folder / "paths.csv").write_text("\n".join(["file_name,text", *lines]))
    contents = [file.read_bytes() for file in files]
    pq.write_table(pa.table({"image": contents, "caption": texts}), folder / "bytes.parquet")
    pq.write_table(pa.table({"image": [{"bytes": each, "path": None} for each in contents], "caption": texts}),
                   folder / "structs.parquet")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    main(["train", "own", "--data", str(folder), "--size", "smoke", "--resolution", "16", "--caption", "A {}!",
          "--max-steps", "1", "--out", str(out)])
    return Run(out)


@pytest.fixture
def quick_distance(monkeypatch):
    """The kernel distance alone: 22 Frechet distances of 1,280 features take a minute."""
    monkeypatch.setattr(metrics, "DISTANCES", {"kernel": metrics.kernel_distance})


def test_folders_are_classes_and_every_fifth_image_is_held_out(folder):
    preset = own_preset(folder, "smoke", caption="A {}!", resolution=16)
    train, test = load_images(preset, "train"), load_images(preset, "test")
    assert captions(preset) == ["A blue star!", "A green star!", "A red star!"] == train.captions
    assert train.images.shape == (82, 3, 16, 16) and test.images.shape == (20, 3, 16, 16)
    assert test.labels.bincount().tolist() == [6, 7, 7]
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == 102, "an image is in both parts"
    red = train.images[train.labels == 2].float().mean((0, 2, 3))
    assert red.argmax() == 0, "a class has the images of another"


@pytest.mark.parametrize("table", ["paths.csv", "bytes.parquet", "structs.parquet"])
def test_a_table_gives_the_same_images_with_its_captions(table, folder):
    ours, theirs = (load_images(own_preset(path, "smoke")) for path in (folder / table, folder))
    assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)
    assert ours.captions[0] == "a blue star, drawn" and theirs.captions[0] == "A photo of a blue star"


def test_what_cannot_be_read_is_named_and_what_repeats_is_kept_once(tmp_path, capsys):
    folder = write_folder(tmp_path / "stars", n=4)
    (folder / "red_star" / "broken.png").write_bytes(b"no picture")
    (folder / "red_star" / ".hidden").write_bytes(b"no picture")
    write_folder(folder / "red_star" / "more", n=1)
    shutil.copy(folder / "blue_star" / "2.png", folder / "blue_star" / "copy.png")
    preset = own_preset(folder, "smoke")
    assert len(load_images(preset)) + len(load_images(preset, "test")) == 12
    warned = capsys.readouterr().err
    assert "2 of 15 images" in warned and "red_star/broken.png (not an image" in warned and "1 of 15" in warned
    assert "red_star/more (Is a directory)" in warned
    (folder / "list.csv").write_text("image,caption\nred_star/0.png,x\ngone.png,x\n" + "\0.png,x\n")
    with refuses(BadData, "1 of 3 images"):
        load_images(own_preset(folder / "list.csv", "smoke"))
    warned = capsys.readouterr().err
    assert "row 1: gone.png (No such file" in warned and "row 2: \0.png (embedded null byte)" in warned


def test_names_of_files_and_places_do_not_matter_and_other_images_do(run, folder, tmp_path, capsys):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    for number, file in enumerate(sorted(moved.glob("*/*.png"), reverse=True)):
        file.rename(file.with_name(f"new-{number}.png"))
    main(["train", "own", "--data", str(moved), "--size", "smoke", "--resolution", "16", "--caption", "A {}!",
          "--max-steps", "2", "--out", str(run.folder)])
    assert len(run.metrics()) == 2 and "2 steps" in capsys.readouterr().out
    (moved / "red_star" / "another.png").write_bytes((moved / "blue_star").glob("*.png").__next__().read_bytes())
    with refuses(SystemExit, "2"):
        main(["evaluate", "--checkpoint", str(run.folder), "--data", str(moved)])


def test_a_model_of_own_images_draws_and_is_judged_beside_held_out_images(run, folder, quick_distance, tmp_path):
    main(["sample", "--checkpoint", str(run.folder), "--prompt", "A red star!", "--out", str(tmp_path / "a.png")])
    assert Image.open(tmp_path / "a.png").size[0] == 128 and load_pipeline(run.folder).captions[2] == "A red star!"
    main(["evaluate", "--checkpoint", str(run.folder), "--data", str(folder), "--w", "2", "--json",
          str(tmp_path / "a.json")])
    written = json.loads((tmp_path / "a.json").read_text())
    (row,) = written["rows"]
    assert row["n"] == 20 and row["accuracy"]["real"]["value"] > 0.9 > row["accuracy"]["value"]
    assert row["efficientnet"]["kernel"]["value"] > 10 * abs(row["efficientnet"]["kernel"]["real"]["value"])
    assert "style_top3" not in row and sum(each["n"] for each in row["per_class"]) == 20


def test_captions_that_hardly_repeat_have_distances_and_no_accuracy(folder, quick_distance, tmp_path):
    lines = [f"{file},star {number}" for number, file in enumerate(folder.glob("*/*.png"))]
    (folder / "each.csv").write_text("\n".join(["image,caption", *lines]))
    trained = train(own_preset(folder / "each.csv", "smoke", resolution=16), tmp_path / "run", max_steps=1)
    pipe = load_pipeline(trained.folder)
    assert len(pipe.captions) == 82 and len(captions(pipe.preset)) == 102
    (row,) = evaluate(pipe, [1.0], None, steps=1)["rows"]
    assert "accuracy" not in row and row["efficientnet"]["kernel"]["real"]


def table(columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return {"t.parquet": file.getvalue()}


BAD = {
    "nothing": ({}, "gone", ["neither a folder"]),
    "another kind of file": ({"a.txt": b""}, "a.txt", ["neither a folder", ".csv"]),
    "no sub-folders": ({"a.png": b""}, "", ["no sub-folders", "each class"]),
    "an empty class": ({"one/a.png": b"", "two/.hidden": b""}, "", ["two holds no images"]),
    "one image": ({"one/a.png": None}, "", ["1 of 1 images can be read", "at least 5"]),
    "no image": ({"one/a.png": b"a", "two/b.png": b"b"}, "", ["0 of 2 images"]),
    "an image of no class": ({"one/a.png": None, "b.JPG": b""}, "", ["b.JPG is beside the sub-folders"]),
    "another column": ({"a.csv": b"picture,caption\na.png,x"}, "a.csv", ["picture, caption"]),
    "a column twice": ({"a.csv": b"image,image,caption\na.png,a.png,x"}, "a.csv", ["cannot be read", "2 times"]),
    "semicolons": ({"a.csv": b"image;caption\na.png;x"}, "a.csv", ["image;caption", "comma"]),
    "another encoding": ({"a.csv": b"image,caption\na.png,\xfc"}, "a.csv", ["UTF-8 with commas"]),
    "a broken table": ({"a.parquet": b"PAR1"}, "a.parquet", ["a.parquet cannot be read"]),
    "no caption": (table({"image": [b"a"], "caption": [None]}), "t.parquet", ["row 0", "caption None"]),
    "numbers as images": (table({"image": [3], "caption": ["x"]}), "t.parquet", ["row 0", "image is a int"]),
}


def test_other_settings_are_refused(folder, tmp_path):
    for settings, words in ((dict(resolution=30), ["30", "multiple of 8"]), (dict(resolution=8), ["8", "16"]),
                            (dict(resolution=2**20), ["4096"]),
                            (dict(caption="a photo"), ["{}"]), (dict(caption="a {} {}"), ["{}"]),
                            (dict(caption="{0}"), ["{}"])):
        with refuses(BadValue, *words):
            own_preset(folder, "smoke", **settings)
    with refuses(PromptTooLong, "77 fit"):
        train(own_preset(folder, "smoke", caption="{}" + " and another star" * 40), tmp_path / "run")


@pytest.mark.parametrize("files, data, words", BAD.values(), ids=BAD)
def test_data_of_another_form_are_refused_with_the_remedy(files, data, words, folder, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((folder / "red_star/0.png").read_bytes() if content is None else content)
    with refuses(BadData, *words):
        load_images(own_preset(tmp_path / data, "smoke"))
