"""Train and measure the shipped image-text model: ``python scripts/train_image_text.py``; with ``evaluate``, only
measure it."""

import math
import sys
import time

import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import gaussian_blur
from train_classifier import augment, minimise

from t2i_helpers import presets
from t2i_helpers.data import CLASS_NAMES, QUALITY, from_uint8, load_images, sentences
from t2i_helpers.errors import T2IError
from t2i_helpers.evaluation.metrics import proportion
from t2i_helpers.models.image_text import CONFIG, FOLDER, WEIGHTS_FILE, ImageText, load_image_text, pad_to_rgb32
from t2i_helpers.provenance import best_device, file_hash, record, write_json
from t2i_helpers.randomness import generator, seed_from

EPOCHS = 3                                       # over the photographs
SHARES = {"mnist": 24, "cifar10": 104}           # images of a batch; digits need far fewer than photographs
DEGRADED = 1 / 5                                 # of a batch
LARGEST_SCALE = math.log(100)                    # of the logits, as in CLIP
# {} is the class's name and {word} its spoken name; the first of each is the caption of the presets
TRAIN_PROMPTS = {
    "mnist": ("A handwritten digit {}", "a handwritten digit {word}", "the number {word}", "the number {}",
              "a picture of the digit {}", "a handwritten {word}"),
    "cifar10": ("A photo of a {}", "a picture of a {}", "an image of a {}", "a {}", "a small photo of the {}"),
}
HELD_OUT_PROMPTS = {                # never trained on: does the model understand or remember?
    "mnist": ("an image of the numeral {word}", "someone wrote a {}", "the digit {word} in ink"),
    "cifar10": ("a snapshot of a {}", "this picture shows a {}", "a {} seen by a camera"),
}
QUALITIES = {False: ("good", "clear", "sharp"), True: ("bad", "blurry", "noisy")}           # by whether it is degraded


def train_sentences(dataset: str, label: int, degraded: bool) -> list[str]:
    """Every training sentence that is true of an image of the class, sharp or degraded."""
    plain = [] if degraded else [sentences(dataset, wording)[label] for wording in TRAIN_PROMPTS[dataset]]
    return plain + [sentences(dataset, QUALITY[dataset], quality)[label] for quality in QUALITIES[degraded]]


def degrade(images: torch.Tensor, rng) -> torch.Tensor:
    """Degrade images in [0, 1] [n, c, h, w]: the first half by a Gaussian blur of one width between 0.8 and 2 pixels,
    the rest by Gaussian noise of 0.1 to 0.3 each; the result is in [0, 1]."""
    blurred, noised = images.tensor_split(2)
    sigma = 0.8 + 1.2 * float(torch.rand((), generator=rng))
    if len(blurred):
        blurred = gaussian_blur(blurred, [9, 9], [sigma, sigma])
    level = 0.1 + 0.2 * torch.rand(len(noised), 1, 1, 1, generator=rng)
    noised = (noised + level * torch.randn(noised.shape, generator=rng)).clamp(0, 1)
    return torch.cat([blurred, noised])


def contrastive_loss(images, texts, scale, meanings) -> torch.Tensor:
    """The symmetric contrastive loss of Radford et al. (2021, arXiv:2103.00020, fig. 3) for pairs that share meanings.

    images, texts [n, d] unit vectors, row i of both is a pair; scale [], of the logits; meanings int64 [n]. CLIP's
    target is the pair's own partner. With few classes most batches hold the same caption many times, and that target
    pushes an image away from captions that are true of it. Here every partner of the same meaning is an equal share
    of the target. Where all meanings differ, this is CLIP's loss.
    """
    logits = scale * images @ texts.T                                                       # [n, n]
    same = (meanings[:, None] == meanings[None]).float()
    targets = same / same.sum(1, keepdim=True)                                              # [n, n], symmetric
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class SentenceTable:
    """All training sentences by meaning, (dataset, class, degraded); each is encoded once, not once a batch."""

    def __init__(self, model: ImageText):
        meanings = [(name, label, degraded) for name in SHARES for label in range(len(CLASS_NAMES[name]))
                    for degraded in (False, True)]
        known = [train_sentences(*meaning) for meaning in meanings]
        self.counts = torch.tensor(list(map(len, known)))                                   # [meanings]
        self.first = self.counts.cumsum(0) - self.counts
        self.features = model.sentence_features(sum(known, []))
        self.meanings = {meaning: i for i, meaning in enumerate(meanings)}

    def draw(self, meanings: torch.Tensor, rng) -> torch.Tensor:
        """The features [n, dim] of one random sentence of each of the `meanings` [n]."""
        chosen = (torch.rand(len(meanings), generator=rng) * self.counts[meanings]).long()
        return self.features[(self.first[meanings] + chosen).to(self.features.device)]


def train_image_text(sets: dict, *, epochs: int = EPOCHS, seed: int = 0) -> ImageText:
    """Train on `sets`, LabelledImages by dataset; an epoch is one of the photographs'.

    Every batch holds SHARES of each dataset; DEGRADED of its images are blurred or noised; their sentences say so.
    """
    device = best_device()
    torch.manual_seed(seed_from(seed, "image-text"))
    model = ImageText(CONFIG).to(device)
    model.vision_model.to(memory_format=torch.channels_last)
    table = SentenceTable(model)

    def loss_of_step(step):
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)
        x, meanings, features = draw_batch(sets, table, generator(seed, "image-text", step))
        images = model.embed_images(x.to(device, memory_format=torch.channels_last))
        texts = model.project_sentences(features)
        with torch.autocast(device, enabled=False):
            return contrastive_loss(images, texts, model.logit_scale.exp(), meanings.to(device))

    steps = epochs * (len(sets["cifar10"]) // SHARES["cifar10"])
    minimise(loss_of_step, [p for p in model.train().parameters() if p.requires_grad], steps, 4e-3)
    with torch.no_grad():
        model.logit_scale.clamp_(max=LARGEST_SCALE)
    return model.eval()


def draw_batch(sets: dict, table: SentenceTable, rng) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(images [n, 3, 32, 32] in [0, 1], their meanings int64 [n], the features [n, dim] of a sentence for each)."""
    images, meanings = [], []
    for name, share in SHARES.items():
        chosen = torch.randint(len(sets[name]), (share,), generator=rng)
        x = pad_to_rgb32(augment(sets[name].images[chosen], name == "cifar10", rng))
        degraded = round(DEGRADED * share)
        images.append(torch.cat([degrade(x[:degraded], rng), x[degraded:]]))
        meanings += [table.meanings[name, label, i < degraded]
                     for i, label in enumerate(sets[name].labels[chosen].tolist())]
    meanings = torch.tensor(meanings)
    return torch.cat(images), meanings, table.draw(meanings, rng)


@torch.inference_mode()
def nearest(model, images, prompts) -> list[torch.Tensor]:
    """int64 [n] for each list in `prompts`: which of its texts is the nearest to each of `images` in [0, 1]."""
    vectors = torch.cat([model.embed_images(part.to(model.device)) for part in images.split(500)])
    return [(vectors @ model.embed_texts(texts).T).argmax(1).cpu() for texts in prompts]


def zero_shot_accuracy(model, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """The share of uint8 `images` [n, c, h, w] whose own class is the nearest, for each wording of the prompts."""
    kinds = {"taught": TRAIN_PROMPTS[dataset], "held_out": HELD_OUT_PROMPTS[dataset]}
    wordings = [wording for kind in kinds.values() for wording in kind]
    answers = nearest(model, from_uint8(images, (0, 1)), [sentences(dataset, wording) for wording in wordings])
    accuracy = {wording: proportion(found == labels) for wording, found in zip(wordings, answers)}
    return {kind: {wording: accuracy[wording] for wording in kinds[kind]} for kind in kinds}


def quality_accuracy(model, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """How often "blurry" is nearer than "good" to an image exactly if it is degraded; half of uint8 `images` are."""
    rng = generator("zero-shot", dataset)
    images, degraded = from_uint8(images, (0, 1)), torch.rand(len(images), generator=rng) < 0.5
    images[degraded] = degrade(images[degraded], rng)
    words = zip(*(sentences(dataset, QUALITY[dataset], quality) for quality in ("good", "blurry")))
    answers = torch.stack(nearest(model, images, [list(pair) for pair in words]))               # [classes, n]
    return proportion(answers[labels, torch.arange(len(labels))] == degraded)


def evaluate() -> None:
    """Measure the shipped model on the real test sets; write evaluation.json beside it."""
    model, results = load_image_text(best_device()), {}
    for dataset in TRAIN_PROMPTS:
        test = load_images(presets.get(dataset, "improved", "full"), "test")
        results[dataset] = {"data_source": test.source, "data_fingerprint": test.fingerprint, "images": len(test),
                            **zero_shot_accuracy(model, dataset, test.images, test.labels),
                            "good_or_blurry": quality_accuracy(model, dataset, test.images, test.labels)}
    write_json(FOLDER / "evaluation.json",
               record(best_device(), weights_sha256_16=file_hash(FOLDER / WEIGHTS_FILE), zero_shot=results))


def train() -> None:
    """Train on the real MNIST and CIFAR-10; write weights, configuration and a sidecar."""
    sets = {name: load_images(presets.get(name, "improved", "full"), "train") for name in SHARES}
    began = time.monotonic()
    model = train_image_text(sets)
    seconds = time.monotonic() - began
    model.save(FOLDER)
    data = {name: {"data_source": images.source, "data_fingerprint": images.fingerprint,
                   "training_images": len(images), "images_a_batch": SHARES[name]} for name, images in sets.items()}
    write_json(FOLDER / "provenance.json", record(
        best_device(), data=data, epochs=EPOCHS, training_seconds=round(seconds), text_encoder=CONFIG["text_encoder"],
        weights="float16", weights_sha256_16=file_hash(FOLDER / WEIGHTS_FILE)))
    print(f"{FOLDER} after {seconds:.0f} s")


if __name__ == "__main__":
    try:
        if sys.argv[1:] != ["evaluate"]:
            train()
        evaluate()
    except T2IError as error:
        sys.exit(f"train_image_text: {error}")
