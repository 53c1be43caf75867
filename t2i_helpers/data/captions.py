"""The few distinct captions of each dataset."""

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    # huggan/wikiart's ClassLabel order, which is not the thesis's list
    "wikiart": (
        "Abstract Expressionism", "Action painting", "Analytical Cubism", "Art Nouveau", "Baroque",
        "Color Field Painting", "Contemporary Realism", "Cubism", "Early Renaissance", "Expressionism", "Fauvism",
        "High Renaissance", "Impressionism", "Mannerism Late Renaissance", "Minimalism", "Naive Art Primitivism",
        "New Realism", "Northern Renaissance", "Pointillism", "Pop Art", "Post Impressionism", "Realism", "Rococo",
        "Romanticism", "Symbolism", "Synthetic Cubism", "Ukiyo e",
    ),
}


def captions(preset) -> list[str]:
    """The caption of every class, in label order: ``["A handwritten digit 0", ...]``."""
    return [preset.caption.format(name) for name in CLASS_NAMES[preset.dataset]]
