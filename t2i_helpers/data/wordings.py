"""Sentences that say what a picture shows and how well: to teach a model of images and text, and to ask it."""

from .captions import CLASS_NAMES

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN = {"mnist": NUMBERS, "cifar10": CLASS_NAMES["cifar10"]}

# {} becomes the class's name, {word} what one says of it; the first of each is the caption of the presets
TAUGHT = {
    "mnist": ("A handwritten digit {}", "a handwritten digit {word}", "the number {word}", "the number {}",
              "a picture of the digit {}", "a handwritten {word}"),
    "cifar10": ("A photo of a {}", "a picture of a {}", "an image of a {}", "a {}", "a small photo of the {}"),
}
HELD_OUT = {                        # never taught: whether the model understands or remembers
    "mnist": ("an image of the numeral {word}", "someone wrote a {}", "the digit {word} in ink"),
    "cifar10": ("a snapshot of a {}", "this picture shows a {}", "a {} seen by a camera"),
}
QUALITY = {"mnist": "a {quality} handwritten digit {}", "cifar10": "a {quality} photo of a {}"}
SHARP, DEGRADED = ("good", "clear", "sharp"), ("bad", "blurry", "noisy")


def sentences(dataset: str, wording: str, quality: str = "") -> list[str]:
    """What `wording` says of every class, in label order: of 7, "the number {word}" says "the number seven"."""
    return [wording.format(name, word=word, quality=quality)
            for name, word in zip(CLASS_NAMES[dataset], SPOKEN[dataset])]


def taught(dataset: str, label: int, degraded: bool) -> list[str]:
    """Every sentence that is true of an image of the class: plain ones and praise, or, where it was degraded, blame."""
    plain = [] if degraded else [sentences(dataset, wording)[label] for wording in TAUGHT[dataset]]
    qualities = DEGRADED if degraded else SHARP
    return plain + [sentences(dataset, QUALITY[dataset], quality)[label] for quality in qualities]
