"""Judges of paintings and of own images: ImageNet features that no training of ours uses, and linear probes on them,
which predict style or genre, or the class of own images. Their accuracy on real held-out images is the baseline.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .. import presets
from ..data import load_images, to_uint8
from ..data.captions import CLASS_NAMES, GENRES, HELD_OUT_PAIRS, UNKNOWN_GENRE, caption_rows, genre_caption
from ..errors import BadValue
from ..models import load_efficientnet
from ..provenance import best_device, code_record
from ..randomness import generator
from .features import FeatureFile, as_rgb, cached_features, in_batches
from .metrics import beside, proportion, saturation
from .samples import DRAWING, JUDGES, MEASURING

PROBED = 10_000                     # training paintings whose features are computed: ten minutes of a processor core
Probe = Callable[[torch.Tensor], torch.Tensor]         # features [n, d] to logits [n, classes]


def train_probe(features: torch.Tensor, labels: torch.Tensor, classes: int, penalty: float = 3e-3) -> Probe:
    """Multinomial logistic regression on standardised features [n, d], logits = W (f - mean) / std + b, by minimising
    cross entropy + penalty ||W||^2 / 2, a convex problem. Images with a negative label, int64 [n], are left out; a
    class without an image has a logit of minus infinity."""
    known = labels >= 0
    features, labels = features[known].float(), labels[known]
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    x = (features - mean) / std
    weight, bias = torch.zeros(classes, x.shape[1], requires_grad=True), torch.zeros(classes, requires_grad=True)
    never = torch.full((classes,), float("-inf")).index_fill(0, labels.unique(), 0.0)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=150, history_size=20, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, weight, bias) + never, labels) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    weight, bias = weight.detach(), bias.detach() + never
    return lambda features: F.linear((features - mean) / std, weight, bias)


@functools.lru_cache(maxsize=1)
def _network(device: str):
    return load_efficientnet("lite0", device)


def image_features(images: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite0's features float32 [n, 1280] of uint8 `images` [n, c, h, w]."""
    device = best_device()
    return in_batches(lambda part: _network(device).features(as_rgb(part).to(device)), images)


def efficientnet_features(dataset) -> FeatureFile:
    """EfficientNet-Lite0's features of real `dataset`, cached under ``data/``."""
    return cached_features("efficientnet", _network(best_device()).weights_sha256_16, dataset, image_features)


@dataclass(frozen=True)
class RealImages:
    """Features of real paintings or own images, and the probes trained on those of at most PROBED training images."""

    test: FeatureFile               # of held-out images, with styles or classes
    test_genres: torch.Tensor       # int64 [n]
    train: FeatureFile
    style: Probe | None             # of styles or classes; None for captions that hardly repeat
    genre: Probe | None             # None for images without genres
    saturation: dict                # of the held-out images

    @classmethod
    @functools.lru_cache(maxsize=2)
    def load(cls, data_source: str) -> "RealImages":
        """Of `improved`'s paintings from `data_source`, at 128x128 for a model of any resolution; SourceUnavailable
        where there are none."""
        preset = dataclasses.replace(presets.get("wikiart", "improved", "demo"), data_source=data_source)
        return cls.of(load_images(preset, "train"), load_images(preset, "test"))

    @classmethod
    def of(cls, images, test) -> "RealImages":
        """Of the training `images` and the held-out `test` images."""
        if len(images) > PROBED:
            chosen = torch.randperm(len(images), generator=generator("probed"))[:PROBED]
            images = dataclasses.replace(
                images, images=images.images[chosen], labels=images.labels[chosen], genres=images.genres[chosen],
                fingerprint=f"{images.fingerprint}-{PROBED}")
        train, classes = efficientnet_features(images), len(images.captions)
        return cls(efficientnet_features(test), test.genres, train,
                   train_probe(train.features, images.labels, classes) if len(images) >= 2 * classes else None,
                   train_probe(train.features, images.genres, len(GENRES)) if (images.genres >= 0).any() else None,
                   saturation(test.images))

    def asked(self, preset, n: int) -> torch.Tensor:
        """Rows of `every_caption`, int64 [n]: the captions of n held-out paintings, so that styles are as frequent as
        in real paintings; with their genres where the preset names genres."""
        chosen = self.choose(n)
        genres = torch.tensor(UNKNOWN_GENRE) if preset.genre_dropout is None else self.test_genres[chosen]
        return caption_rows(preset, self.test.labels[chosen], genres)

    def choose(self, n: int) -> torch.Tensor:
        """The `n` held-out images, int64 [n], that give the prompts and the reference; BadValue for too many."""
        if n > len(self.test):
            raise BadValue(f"samples = {n}: draw at most as many as there are held-out images, {len(self.test)}")
        return torch.randperm(len(self.test), generator=generator("asked"))[:n]

    def answers(self, features: torch.Tensor, styles: torch.Tensor, genres: torch.Tensor) -> dict[str, dict]:
        """The accuracy of the style probe; of paintings also its top-3 accuracy, and the genre probe's for prompts with
        genres. Features [n, 1280], styles and genres int64 [n]."""
        if self.style is None:
            return {}
        logits = self.style(features)
        answers = {"accuracy": proportion(logits.argmax(1) == styles)}
        if self.genre is None:
            return answers
        answers["style_top3"] = proportion((logits.topk(3, dim=1).indices == styles[:, None]).any(1))
        if (named := genres >= 0).any():
            answers["genre_accuracy"] = proportion(self.genre(features[named]).argmax(1) == genres[named])
        return answers


def composition(pipe, w: float, images_a_pair: int) -> dict:
    """Draw the ten (genre, style) pairs that training never saw, and ten seen pairs of the same styles, each with its
    most frequent genre.

    {"unseen": {"n", "pairs", "genre_accuracy", "style_accuracy", "both"}, "seen": the same, "chance"}, each accuracy
    with its interval and, as "real", that of real paintings of its pairs, none of which the probes were trained on.
    """
    preset, genres, styles = pipe.preset, list(GENRES), CLASS_NAMES["wikiart"]
    real, train = RealImages.load(preset.data_source), load_images(preset, "train")

    def answers(features, genres, styles):
        right_genre, right_style = real.genre(features).argmax(1) == genres, real.style(features).argmax(1) == styles
        return {"genre_accuracy": proportion(right_genre), "style_accuracy": proportion(right_style),
                "both": proportion(right_genre & right_style)}

    def drawn(pairs, *paintings):
        """The accuracies on images of `pairs`, beside those of `paintings`: features, genres and styles."""
        asked = torch.tensor(pairs).repeat_interleave(images_a_pair, 0)                             # [n, 2]
        prompts = [genre_caption(preset, genre, style) for genre, style in asked.tolist()]
        features = image_features(to_uint8(pipe(prompts, w=w, seeds=range(len(prompts))).images).cpu())
        return {"n": len(asked), "pairs": [[genres[genre], styles[style]] for genre, style in pairs],
                **beside(answers(features, *asked.T), answers(*paintings))}

    unseen = [(genres.index(genre), styles.index(style)) for genre, style in HELD_OUT_PAIRS]
    known = train.genres >= 0
    seen = [(int(train.genres[known & (train.labels == style)].mode().values), style) for _, style in unseen]
    paintings, test = load_images(preset, "unseen pairs"), real.test
    chosen = torch.tensor([pair in seen for pair in zip(real.test_genres.tolist(), test.labels.tolist())])
    return {"w": w, "steps": preset.sample_steps, "scheduler": preset.scheduler,
            "chance": {"genre": 1 / len(train.genres[known].unique()), "style": 1 / len(pipe.classes)},
            "data_source": test.metadata["data_source"], "weights_sha256_16": pipe.weights_sha256_16,
            "unseen": drawn(unseen, image_features(paintings.images), paintings.genres, paintings.labels),
            "seen": drawn(seen, test.features[chosen], real.test_genres[chosen], test.labels[chosen]),
            **code_record(*DRAWING, *MEASURING, JUDGES["wikiart"])}


def nearest_paintings(images: torch.Tensor, paintings: torch.Tensor, k: int = 3, shortlist: int = 100):
    """(indices int64 [n, k], distances [n, k]) of the uint8 `paintings` [m, 3, h, w] nearest to uint8 `images`
    [n, 3, ., .] of any size: the `shortlist` nearest 16x16 thumbnails are ranked by the cosine distance of
    EfficientNet-Lite0's features, which would take minutes for all m paintings."""
    def thumbnails(images):                                                                         # [., 768]
        return torch.cat([F.interpolate(part.float(), (16, 16), mode="area").flatten(1) for part in images.split(1000)])

    far = torch.cdist(thumbnails(images), thumbnails(paintings))                                    # [n, m]
    candidates = far.topk(min(shortlist, len(paintings)), largest=False).indices                    # [n, shortlist]
    nearest = []
    for own, rows in zip(F.normalize(image_features(images), dim=1), candidates):
        distances = 1 - F.normalize(image_features(paintings[rows]), dim=1) @ own                   # [shortlist]
        values, places = distances.topk(k, largest=False)
        nearest.append((rows[places], values))
    return tuple(map(torch.stack, zip(*nearest)))
