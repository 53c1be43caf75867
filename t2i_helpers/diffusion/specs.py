"""Guiders and schedulers by name, with their settings in the name as on a command line: "interval sigma_max=5"."""

from ..errors import BadValue


def parse(kind: str, text: str, words: tuple[str, ...] = ()) -> tuple[str, dict]:
    """("interval", {"sigma_max": 5.0}) of "interval sigma_max=5"; the settings in `words` stay text.

    Raises BadValue, which names the `kind` ("guider"), for a setting that is not of the form name=number.
    """
    name, *written = text.split() or [""]
    settings = {}
    for setting in written:
        field, _, value = setting.partition("=")
        try:
            settings[field] = value if field in words else float(value)
        except ValueError:
            raise BadValue(f"{kind} {text!r}: {setting!r} is not of the form name=number") from None
    return name, settings


def check_range(name, value, low, high):
    """Raise BadValue unless `value` is a number from `low` to `high`."""
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadValue(f"{name} = {value}: choose a number from {low} to {high}")
