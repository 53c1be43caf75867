"""Sentences that say what a picture shows and how well: to teach a model of images and text, and to ask it."""

from .captions import CLASS_NAMES

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN = {"mnist": NUMBERS, "cifar10": CLASS_NAMES["cifar10"]}

# {} becomes the class's name, {word} what one says of it; the first of each list is the caption of the presets
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


def worded(dataset: str, wording: str, label: int, quality: str = "") -> str:
    """The sentence that `wording` makes of a class: "the number {word}" of a 7 is "the number seven"."""
    return wording.format(CLASS_NAMES[dataset][label], word=SPOKEN[dataset][label], quality=quality)


def taught(dataset: str, label: int, degraded: bool) -> list[str]:
    """Every sentence that is true of an image of the class: plain ones and praise, or, where it was degraded, blame."""
    plain = [] if degraded else [worded(dataset, wording, label) for wording in TAUGHT[dataset]]
    judged = [worded(dataset, QUALITY[dataset], label, quality) for quality in (DEGRADED if degraded else SHARP)]
    return plain + judged
