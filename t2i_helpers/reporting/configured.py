"""What the thesis's text configures, as its tables print it, and whether the two agree."""

from ..presets import TRAINING_IMAGES


def from_text(row: str, preset, parameters: int, classes: int) -> str:
    """What the thesis's text says in a row of its tables, of a preset whose network has so many `parameters`."""
    return {
        "resolution": f"{preset.resolution}×{preset.resolution}", "channels": str(preset.channels),
        "classes": str(classes), "training samples": f"{TRAINING_IMAGES[preset.dataset]:,}",
        "U-Net blocks": str(len(preset.block_channels)), "parameters": f"{parameters:,}",
        "batch size": str(preset.batch_size), "epochs": str(preset.epochs),
        "learning rate": f"{preset.learning_rate:.0e}".replace("e-0", "e-"),
    }[row]


def agrees(printed: str, text: str, within: float = 0.02) -> bool:
    """Whether two numbers are the same; one printed as "~45M" or "~81,000" need only be so `within` a share of it."""
    number, text = printed.strip("~M").replace(",", ""), text.replace(",", "")
    if not (printed.startswith("~") and text.isdigit()):
        return number == text
    return abs(float(text) / (1e6 if printed.endswith("M") else 1) - float(number)) < within * float(number)
