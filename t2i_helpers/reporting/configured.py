"""What the thesis's text configures, as its tables print it, and whether the two agree. Imports nothing."""

FROM_TEXT = {                                       # a row of the thesis's tables -> what a preset says
    "resolution": lambda p: f"{p.resolution}×{p.resolution}", "channels": lambda p: str(p.channels),
    "U-Net blocks": lambda p: str(len(p.block_channels)), "batch size": lambda p: str(p.batch_size),
    "learning rate": lambda p: f"{p.learning_rate:.0e}".replace("e-0", "e-"), "epochs": lambda p: str(p.epochs),
}


def agrees(printed: str, said: str, within: float = 0.02) -> bool:
    """Whether two numbers are the same; one printed as "~45M" or "~81,000" need only be so `within` a share of it."""
    number, said = printed.strip("~M").replace(",", ""), said.replace(",", "")
    if not (printed.startswith("~") and said.isdigit()):
        return number == said
    return abs(float(said) / (1e6 if printed.endswith("M") else 1) - float(number)) < within * float(number)
