"""Sentences about what an image shows and how well: for training the image-text model, and for testing it."""

from .captions import CLASS_NAMES

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN = {"mnist": NUMBERS, "cifar10": CLASS_NAMES["cifar10"]}

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
QUALITY = {"mnist": "a {quality} handwritten digit {}", "cifar10": "a {quality} photo of a {}"}
SHARP, DEGRADED = ("good", "clear", "sharp"), ("bad", "blurry", "noisy")


def sentences(dataset: str, wording: str, quality: str = "") -> list[str]:
    """`wording` filled in for every class, in label order: "the number {word}" for 7 is "the number seven"."""
    return [wording.format(name, word=word, quality=quality)
            for name, word in zip(CLASS_NAMES[dataset], SPOKEN[dataset])]


def train_sentences(dataset: str, label: int, degraded: bool) -> list[str]:
    """Every training sentence that is true of an image of the class, sharp or degraded."""
    plain = [] if degraded else [sentences(dataset, wording)[label] for wording in TRAIN_PROMPTS[dataset]]
    qualities = DEGRADED if degraded else SHARP
    return plain + [sentences(dataset, QUALITY[dataset], quality)[label] for quality in qualities]
