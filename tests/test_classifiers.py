"""The classifiers that judge generated images: their shapes, how they are trained, and how they are read from disk."""

import re

import pytest
import torch
import torch.nn.functional as F
import train_classifier as command
from safetensors.torch import save_file
from support import random_images, refuses
from train_classifier import augment, train_classifier

from t2i_helpers import presets
from t2i_helpers.data import from_uint8, load_images
from t2i_helpers.data.synthetic import draw_shapes
from t2i_helpers.errors import BadCheckpoint, UnknownName
from t2i_helpers.evaluation import classifiers, load_classifier, predict
from t2i_helpers.evaluation.classifiers import RECIPES, object_classifier
from t2i_helpers.randomness import generator

SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "fashion": (1, 28, 28)}
each_dataset = pytest.mark.parametrize("dataset", RECIPES)


def train(dataset, images, labels, **options):
    return train_classifier(images=images, labels=labels, **RECIPES[dataset] | options)


def accuracy(classifier, images, labels):
    return (predict(classifier, images).labels == labels).double().mean().item()


@each_dataset
def test_a_classifier_is_what_its_docstring_says_and_predicts_what_it_computes(dataset):
    torch.manual_seed(0)
    classifier = RECIPES[dataset]["network"]().eval()
    said = RECIPES[dataset]["network"].__doc__.replace(",", "")
    [width] = map(int, re.findall(r"(\d+) features", said))
    [(number, million)] = re.findall(r"([\d.]+)( M)? parameters", said)
    images = torch.rand(2, *SHAPES[dataset], generator=generator("images"))
    assert classifier.features(images).shape == (2, width) and classifier(images).shape == (2, 10)
    parameters = sum(p.numel() for p in classifier.parameters())
    assert parameters == pytest.approx(float(number) * (1_000_000 if million else 1), rel=0.02)
    images = random_images(5, *SHAPES[dataset])
    predictions = predict(classifier, images, batch_size=2)
    with torch.inference_mode():
        logits = classifier(from_uint8(images, (0, 1)))
        assert torch.equal(classifier(from_uint8(images, (0, 1))), logits)                  # dropout is for training
        torch.testing.assert_close(classifier.head(predictions.features), logits, atol=1e-5, rtol=1e-4)
        assert not torch.equal(classifier.train()(from_uint8(images, (0, 1))), logits)
    torch.testing.assert_close(predictions.probabilities, logits.softmax(1), atol=1e-6, rtol=1e-4)
    assert predictions.features.dtype == torch.float32 and not predictions.features.requires_grad


@pytest.mark.parametrize("dataset, share", [("mnist", 0), ("cifar10", 0.5), ("fashion", 0.5)])
def test_an_augmented_image_is_shifted_by_up_to_two_pixels_either_way_and_photographs_are_mirrored(dataset, share):
    images = random_images(1000, 1, 9, 9)
    windows = F.pad(from_uint8(images, (0, 1)), [2] * 4, mode="reflect").unfold(2, 9, 1).unfold(3, 9, 1).flatten(2, 3)
    ways = torch.cat([windows, windows.flip(-1)], 2)                                # [1000, 1, 2 times 25, 9, 9]
    found = augment(images, RECIPES[dataset]["flips"], generator("shifts"))
    each, _, way = (found[:, :, None] == ways).all(-1).all(-1).nonzero().T
    assert each.tolist() == [*range(1000)] and len(set((way % 25).tolist())) == 25
    assert (way >= 25).double().mean().item() == pytest.approx(share, abs=0.05 * (share > 0))


def test_two_epochs_are_better_than_chance_at_other_images():
    digits = load_images(presets.get("mnist", "improved", "demo"), "train")
    for dataset, batch_size, (images, labels), others, least in (
            ("cifar10", 10, draw_shapes(200, classes=10, size=32, seed="train"),
             draw_shapes(100, classes=10, size=32, seed="test"), 0.4),
            ("mnist", 32, (digits.images[::5], digits.labels[::5]), (digits.images[1::9], digits.labels[1::9]), 0.8)):
        classifier = train(dataset, images, labels, epochs=2, batch_size=batch_size)
        assert not classifier.training and accuracy(classifier, *others) > least


def test_training_repeats_itself_and_follows_its_seed():
    images, labels = random_images(24, 1, 28, 28), torch.arange(24) % 10
    first, same, other = (train("mnist", images, labels, epochs=1, batch_size=8, seed=seed).state_dict()
                          for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the digits' classifier is looked for, still empty."""
    monkeypatch.setattr(classifiers, "CHECKPOINTS", tmp_path)
    (tmp_path / "classifier-mnist").mkdir()
    return tmp_path / "classifier-mnist"


@pytest.mark.parametrize("damage", [
    lambda path: None, lambda path: path.write_bytes(b"\0" * 100),
    lambda path: save_file(object_classifier().half().state_dict(), path),
], ids=["missing", "damaged", "another network"])
def test_a_classifier_that_cannot_be_read_is_refused_with_the_command_that_makes_it(folder, damage):
    damage(folder / "model.safetensors")
    with refuses(BadCheckpoint, "model.safetensors", "python scripts/train_classifier.py mnist"):
        load_classifier("mnist")
    with refuses(UnknownName, "'imagenet'", "mnist", "cifar10"):
        load_classifier("imagenet")


def test_the_command_writes_weights_and_a_sidecar_of_the_test_set(folder, monkeypatch, capsys):
    digits = load_images(presets.get("mnist", "improved", "demo"), "test")
    monkeypatch.setattr(command, "load_images", lambda preset, split: digits)
    monkeypatch.setitem(RECIPES["mnist"], "epochs", 1)
    command.main("mnist")
    sidecar = classifiers.classifier_metadata("mnist")
    assert sidecar["test_accuracy"] == accuracy(load_classifier("mnist"), digits.images, digits.labels)
    assert sidecar["test_images"] == 500 and sidecar["epochs"] == 1 and sidecar["test_saturation"]["value"] > 0.5
    (folder / "provenance.json").write_text("{")
    with refuses(BadCheckpoint, "provenance.json", "restore it"):
        classifiers.classifier_metadata("mnist")


def test_the_shipped_classifier_reads_real_digits():
    """They are part of MNIST's training set, so this is a lower bound on what it must reach."""
    digits = load_images(presets.get("mnist", "improved", "demo"), "test")
    assert accuracy(load_classifier("mnist"), digits.images, digits.labels) >= 0.99
