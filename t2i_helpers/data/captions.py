"""The distinct captions of each dataset, and other sentences about its classes."""

import torch

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "fashion": ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    # huggan/wikiart's ClassLabel order, which is not the thesis's list
    "wikiart": (
        "Abstract Expressionism", "Action painting", "Analytical Cubism", "Art Nouveau", "Baroque",
        "Color Field Painting", "Contemporary Realism", "Cubism", "Early Renaissance", "Expressionism", "Fauvism",
        "High Renaissance", "Impressionism", "Mannerism Late Renaissance", "Minimalism", "Naive Art Primitivism",
        "New Realism", "Northern Renaissance", "Pointillism", "Pop Art", "Post Impressionism", "Realism", "Rococo",
        "Romanticism", "Symbolism", "Synthetic Cubism", "Ukiyo e",
    ),
}
# huggan/wikiart's genres in its ClassLabel order, and how captions begin for each
GENRES = {
    "abstract painting": "An abstract painting", "cityscape": "A cityscape", "genre painting": "A genre painting",
    "illustration": "An illustration", "landscape": "A landscape", "nude painting": "A nude",
    "portrait": "A portrait", "religious painting": "A religious painting", "sketch and study": "A sketch",
    "still life": "A still life",
}
UNKNOWN_GENRE = -1
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUALITY = {"mnist": "a {quality} handwritten digit {}", "cifar10": "a {quality} photo of a {}"}
# (genre, style) pairs that `improved` never trains on, to test composition
HELD_OUT_PAIRS = (
    ("landscape", "Baroque"), ("landscape", "Rococo"), ("landscape", "Art Nouveau"), ("landscape", "Cubism"),
    ("portrait", "Impressionism"), ("portrait", "Ukiyo e"), ("still life", "Post Impressionism"),
    ("cityscape", "Romanticism"), ("cityscape", "Naive Art Primitivism"), ("genre painting", "Symbolism"),
)


def class_names(preset) -> tuple[str, ...]:
    """The classes of the preset's dataset, in label order."""
    return preset.class_names or CLASS_NAMES[preset.dataset]


def captions(preset) -> list[str]:
    """The caption of every class, in label order: ``["A handwritten digit 0", ...]``."""
    return [preset.caption.format(name) for name in class_names(preset)]


def sentences(dataset: str, wording: str, quality: str = "") -> list[str]:
    """`wording` filled in for every class, in label order: "the number {word}" for 7 is "the number seven"."""
    names = CLASS_NAMES[dataset]
    words = NUMBERS if dataset == "mnist" else names
    return [wording.format(name, word=word, quality=quality) for name, word in zip(names, words)]


def every_caption(preset) -> list[str]:
    """All captions that training uses, in the order of `caption_rows`: those of `captions` and, if the preset names
    genres, the same for each genre ("A landscape in the style of Baroque")."""
    genres = [] if preset.genre_dropout is None else GENRES.values()
    return captions(preset) + [plain.replace("A painting", genre) for genre in genres for plain in captions(preset)]


def genre_caption(preset, genre: int, label: int) -> str:
    """The caption of class `label` with a genre, an index into GENRES, instead of "A painting"."""
    return captions(preset)[label].replace("A painting", list(GENRES.values())[genre])


def caption_rows(preset, labels: torch.Tensor, genres: torch.Tensor) -> torch.Tensor:
    """The rows of `every_caption`, int64 [n], for `labels` and `genres` [n]; captions of UNKNOWN_GENRE name none."""
    return labels + len(class_names(preset)) * (genres + 1)


def of_caption_rows(preset, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(labels, genres), int64 [n] each, of rows of `every_caption`: the inverse of `caption_rows`."""
    classes = len(class_names(preset))
    return rows % classes, rows // classes - 1


def held_out(labels: torch.Tensor, genres: torch.Tensor) -> torch.Tensor:
    """Whether each painting has a pair of HELD_OUT_PAIRS: bool [n] for `labels` and `genres` [n]."""
    styles, names = CLASS_NAMES["wikiart"], list(GENRES)
    pairs = torch.tensor([names.index(genre) * len(styles) + styles.index(style) for genre, style in HELD_OUT_PAIRS])
    return torch.isin(genres * len(styles) + labels, pairs)
