"""What tables and the report's text both need of the thesis's settings and of evaluations. Imports no torch."""

from ..intervals import overlap
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


def best_scales(evaluation: dict, metric: str) -> str:
    """The scale of the least "frechet" or the highest "accuracy", with those whose intervals overlap its: "10, 20"."""
    metrics = {row["w"]: (row | row.get("classifier", row.get("efficientnet", {})))[metric]
               for row in evaluation["rows"]}
    best = (min if metric == "frechet" else max)(metrics.values(), key=lambda each: each["value"])
    return ", ".join(f"{w:g}" for w, each in metrics.items() if overlap(each["interval"], best["interval"]))
