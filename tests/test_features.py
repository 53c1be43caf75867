"""Networks that others trained, here with random weights in a mirror, and files of features."""

import hashlib
import json
import os
import pickle
import sys
import urllib.error
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import torchvision
import transformers
from PIL import Image
from pytorch_fid import fid_score, inception
from safetensors.torch import save_file
from support import MIRROR, change_tensors, needs_mirror, random_images, refuses
from tokenizers.pre_tokenizers import ByteLevel

from t2i_helpers import paths, presets, provenance
from t2i_helpers.cli import main
from t2i_helpers.data import load_images
from t2i_helpers.errors import BadValue, SourceUnavailable
from t2i_helpers.evaluation import features, load_classifier, predict, samples
from t2i_helpers.evaluation.classifiers import classifier_hash
from t2i_helpers.evaluation.evaluate import classifier_judge
from t2i_helpers.evaluation.features import FeatureFile, cached_features, in_batches, load_inception, real_features
from t2i_helpers.evaluation.study import read_part
from t2i_helpers.models import text
from t2i_helpers.randomness import generator

evaluating = sys.modules["t2i_helpers.evaluation.evaluate"]         # the package exports its function by this name


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_MIRROR", str(tmp_path))
    return tmp_path / "models"


def test_a_feature_file_gives_back_what_was_saved(tmp_path):
    values = torch.randn(7, 5, generator=generator("features"))
    save_file({"features": values.half(), "labels": torch.arange(7)}, tmp_path / "file", {"data_source": "drawn"})
    found = FeatureFile.load(tmp_path / "file", 5)
    assert found.features.dtype == torch.float32 and found.labels.dtype == torch.int64
    torch.testing.assert_close(found.features, values, rtol=1e-3, atol=1e-6)
    assert found.labels.tolist() == list(range(7)) and found.metadata == {"data_source": "drawn"}
    save_file({"features": torch.ones(3, 5)}, tmp_path / "elsewhere.safetensors")
    found = FeatureFile.load(tmp_path / "elsewhere.safetensors", 5)
    assert found.labels is None and found.metadata == {}


@pytest.mark.parametrize("write, words", [
    (lambda path: save_file({"features": torch.ones(3, 4)}, path), ["(3, 4)", "not 5 wide"]),
    (lambda path: save_file({"features": torch.ones(5)}, path), ["(5,)", "not 5 wide"]),
    (lambda path: save_file({"images": torch.ones(3, 5)}, path), ["holds no features"]),
    (lambda path: None, ["holds no features"]), (lambda path: path.mkdir(), ["holds no features"]),
    (lambda path: path.write_bytes(pickle.dumps(torch.ones(3, 5))), ["holds no features", "safetensors"]),
], ids=["width", "one row", "name", "missing", "folder", "pickle"])
def test_what_is_no_file_of_such_features_is_refused(tmp_path, write, words):
    write(tmp_path / "file.st")
    with refuses(BadValue, "file.st", *words):
        FeatureFile.load(tmp_path / "file.st", 5)


def test_features_of_real_images_are_computed_once_for_each_network_its_code_and_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path)
    images, labels = random_images(3, 1, 32, 32), torch.arange(3)
    drawn = SimpleNamespace(images=images, labels=labels, source="drawn", fingerprint="0123")
    network = mock.Mock(side_effect=lambda images: images.float().mean((2, 3)))

    def cached(name="classifier", weights="abcd"):
        return cached_features(name, weights, drawn, network)

    first, second = cached(), cached()
    assert network.call_count == 1 and torch.equal(first.features, second.features)
    torch.testing.assert_close(first.features, drawn.images.float().mean((2, 3)), rtol=1e-3, atol=0)
    assert torch.equal(first.labels, labels) and first.metadata == second.metadata
    assert first.metadata.items() >= {"data_source": "drawn", "data_fingerprint": "0123"}.items()
    [damaged] = tmp_path.iterdir()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    cached()
    cached("efficientnet")
    cached(weights="of another training")
    drawn.fingerprint = "4567"
    cached()
    monkeypatch.setattr(provenance, "_bare_code", lambda file: "rewritten")
    cached()
    assert network.call_count == 6


def test_without_hub_and_mirror_mnist_s_features_are_of_the_embedded_digits():
    real, digits = real_features("mnist"), load_images(presets.get("mnist", "improved", "demo"), "test")
    classifier = load_classifier("mnist")
    torch.testing.assert_close(real.features, predict(classifier, digits.images).features, atol=2e-2, rtol=1e-3)
    assert torch.equal(real.labels, digits.labels) and "embedded" in real.metadata["data_source"]
    assert real.metadata["classifier_sha256_16"] == classifier_hash("mnist")
    with refuses(SourceUnavailable, "ylecun/mnist"):
        real_features("mnist", at_least=501)
    with refuses(SourceUnavailable, "uoft-cs/cifar10"):
        real_features("cifar10")


@needs_mirror
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_stored_baselines_are_those_of_the_real_test_set(dataset, monkeypatch):
    """Features are computed from the data and no longer ship: the numbers of the stored study stay the same."""
    monkeypatch.setenv("T2I_MIRROR", str(MIRROR))
    row = next(iter(read_part(f"rules-{dataset}").values()))
    labels = torch.arange(row["n"]) % 10
    images = load_images(presets.get(dataset, "improved", "full"), "test").images[:len(labels)]
    _, judge = classifier_judge(dataset, len(labels), "cpu")

    def baselines(row):
        return {name: metric["real"]["value"] for name, metric in (row | row["classifier"]).items()
                if isinstance(metric, dict) and "real" in metric}

    assert baselines(judge(images, labels)) == pytest.approx(baselines(row), rel=1e-5, abs=1e-6)


def test_without_real_images_an_evaluation_has_everything_but_distances_and_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(samples, "DATA", tmp_path)
    main(["evaluate", "cifar10", "--w", "2", "--samples", "20", "--steps", "1", "--json", str(tmp_path / "rows.json")])
    said = capsys.readouterr()
    assert said.out.count("real test images") == 1 and "T2I_MIRROR" in said.out and not said.err.count("Traceback")
    result = json.loads((tmp_path / "rows.json").read_text())
    (row,) = result["rows"]
    assert "real" not in row["accuracy"] and row["saturation"]["real"]["value"] > 0 and "classifier" not in row
    assert "accuracy" in said.out and "target probability" in said.out
    assert [sum(seen) for seen in row["confusion"]] == [each["n"] for each in row["per_class"]] == [2] * 10
    right = [seen[asked] for asked, seen in enumerate(row["confusion"])]
    assert right == [2 * each["value"] for each in row["per_class"]] and row["accuracy"]["value"] == sum(right) / 20
    assert {"diffusion", "evaluation.classifiers"} <= set(result["code"]["modules"])
    assert not [reason for reason in provenance.stale_reasons(result) if "other code" in reason]


def test_more_samples_than_half_of_the_real_images_are_refused(monkeypatch):
    few = FeatureFile(torch.randn(30, 128), torch.arange(30) % 10, {})
    monkeypatch.setattr(evaluating, "real_features", lambda dataset, at_least: few)
    with refuses(BadValue, "samples = 16", "30", "at most 15"):
        classifier_judge("mnist", 16, "cpu")


@pytest.fixture(scope="module")
def inception_mirror(tmp_path_factory):
    """A mirror with pytorch-fid's network, its weights random: (folder, SHA-256 of the file)."""
    with (mock.patch.object(inception, "load_state_dict_from_url"),
          mock.patch.object(torchvision.models.Inception3, "load_state_dict"), torch.random.fork_rng(devices=[])):
        torch.manual_seed(0)
        state = inception.fid_inception_v3().state_dict()
    path = tmp_path_factory.mktemp("mirror") / "models" / "mseitzer" / "pytorch-fid" / features.INCEPTION_FILE
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path.parents[3], hashlib.sha256(path.read_bytes()).hexdigest()


def test_inception_of_a_mirror_a_path_or_torch_s_downloads_has_pytorch_fid_s_features(
        inception_mirror, tmp_path, monkeypatch):
    folder, digest = inception_mirror
    [file] = folder.rglob(features.INCEPTION_FILE)
    monkeypatch.setattr(features, "INCEPTION_SHA256", digest[:8])
    monkeypatch.setenv("T2I_MIRROR", str(folder))
    extractors = [load_inception(), load_inception(file)]
    monkeypatch.delenv("T2I_MIRROR")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / file.name).symlink_to(file)
    extractors.append(load_inception())

    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: torch.load(file, weights_only=True))
    network = inception.InceptionV3([3])
    for shape, extractor in zip([(1, 28, 28), (3, 32, 32), (3, 48, 48)], extractors):
        images = random_images(2, *shape)
        files = [tmp_path / f"{i}.png" for i in range(len(images))]
        for image, png in zip(images, files):
            Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(png)
        expected = torch.from_numpy(fid_score.get_activations(files, network, num_workers=0)).float()
        found = in_batches(extractor, images)
        assert found.shape == (2, 2048) and (found[0] - found[1]).abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_inception_that_is_nowhere_or_another_file_is_refused_with_the_remedies(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    offline = mock.Mock(side_effect=urllib.error.URLError("no network"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with refuses(SourceUnavailable, "no network", features.INCEPTION_FILE, "--inception-weights", "T2I_MIRROR"):
        load_inception()
    assert offline.call_args.args[0] == inception.FID_WEIGHTS_URL
    for path in (tmp_path / "weights.pth", tmp_path):
        with refuses(SourceUnavailable, str(path), features.INCEPTION_FILE):
            load_inception(path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("another file was unpickled"))
    (tmp_path / "weights.pth").write_bytes(b"a pickle")
    with refuses(BadValue, "weights.pth", features.INCEPTION_FILE, "6726825d", "download it again"):
        load_inception(tmp_path / "weights.pth")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_untrained_head_is_the_same_every_time_on_top_of_imagenet_s_features(mirror, channels):
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18().eval()
    (mirror / features.IMAGENET).mkdir(parents=True)
    save_file(resnet.state_dict(), mirror / features.IMAGENET / "model.safetensors")
    images = random_images(5, channels, 32, 32)
    logits = in_batches(features.load_untrained_head(), images)
    torch.manual_seed(1)
    assert torch.equal(in_batches(features.load_untrained_head(), images), logits)

    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    normalised = torchvision.transforms.functional.normalize(images.expand(-1, 3, -1, -1) / 255,
                                                             weights.mean, weights.std)
    resnet.fc = torch.nn.Identity()
    head = torch.randn(10, 512, generator=generator("untrained head")) / 512**0.5
    with torch.inference_mode():
        torch.testing.assert_close(logits, resnet(normalised) @ head.T, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def tiny_clip():
    """(CLIP of one layer with random weights, its processor, whose tokens are single characters)."""
    characters = sorted(ByteLevel.alphabet())
    vocabulary = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer({token: i for i, token in enumerate(vocabulary)}, merges=[])
    layers = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = transformers.CLIPConfig(
        text_config=layers | dict(vocab_size=len(vocabulary), bos_token_id=tokenizer.bos_token_id,
                                  eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id),
        vision_config=layers | dict(image_size=32, patch_size=8), projection_dim=8)
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    return model, transformers.CLIPProcessor(images, tokenizer)


@pytest.fixture
def clip_folder(mirror, tiny_clip):
    folder = mirror / text.ENCODERS["clip"][0]
    for part in tiny_clip:
        part.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("channels", [1, 3])
@torch.inference_mode()
def test_the_clip_score_is_100_times_the_cosine_between_image_and_prompt(clip_folder, tiny_clip, channels):
    images, prompts = random_images(4, channels, 32, 32), ["A handwritten digit 5", "A photo of a cat", "", "cat"]
    scores = in_batches(features.load_clip_score(), images, prompts, batch_size=3)
    model, processor = tiny_clip
    for score, image, prompt in zip(scores, images, prompts):
        pair = model(**processor(text=[prompt], images=[image.expand(3, -1, -1)], return_tensors="pt"))
        cosine = torch.cosine_similarity(pair.image_embeds, pair.text_embeds)
        assert score.item() == pytest.approx(100 * cosine.item(), abs=1e-3)
    assert scores.shape == (4,) and scores.abs().max() <= 100 and scores.std() > 0


def without(file):
    return "clip", lambda folder: (folder / file).unlink()


@pytest.mark.parametrize("judge, damage", [
    ("imagenet", lambda folder: None), ("imagenet", lambda folder: (folder / "model.safetensors").write_bytes(b"")),
    ("imagenet", lambda folder: save_file({"fc.bias": torch.ones(10)}, folder / "model.safetensors")),
    without("model.safetensors"), without("processor_config.json"), without("tokenizer.json"),
    ("clip", lambda folder: os.truncate(folder / "model.safetensors", 1000)),
    ("clip", lambda folder: change_tensors(folder / "model.safetensors", lambda weights: {
        name: value for name, value in weights.items() if name.startswith("text")})),
    ("clip", lambda folder: change_tensors(folder / "model.safetensors",
                                           lambda weights: weights | {"visual_projection.weight": torch.ones(4, 16)})),
])
def test_a_mirror_without_the_whole_of_a_network_and_no_mirror_are_refused(
        mirror, clip_folder, judge, damage, monkeypatch):
    load, name, folder = {"imagenet": (features.load_untrained_head, features.IMAGENET, mirror / features.IMAGENET),
                          "clip": (features.load_clip_score, "CLIP", clip_folder)}[judge]
    folder.mkdir(parents=True, exist_ok=True)
    damage(folder)
    with refuses(SourceUnavailable, name, "T2I_MIRROR", f"--also {judge}"):
        load()
    monkeypatch.delenv("T2I_MIRROR")
    with refuses(SourceUnavailable, name, "connect to the network", f"--also {judge}"):
        load()
