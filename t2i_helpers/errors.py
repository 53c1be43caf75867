"""Errors that a user can fix. Each message says in one line what was wrong, where, and what to do next.

The command line prints the message and exits with status 2; in Python they are ordinary exceptions.
"""

import contextlib


class T2IError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(self, message: str):
        # a DataLoader raises a worker's error again with the text of its traceback, which ends with the message
        last = message.strip().splitlines()[-1]
        super().__init__(last.removeprefix(f"{type(self).__module__}.{type(self).__name__}: "))


class UnknownName(T2IError):
    """A dataset, variant, size, scheduler, guider or encoder that does not exist."""

    def __init__(self, kind: str, name: object, known):
        super().__init__(f"unknown {kind} {name!r}: choose one of {', '.join(map(str, known))}")


def check_name(kind: str, name: object, known) -> None:
    """Raise UnknownName for a `name` that is not among the `known` ones of its `kind`."""
    if name not in known:
        raise UnknownName(kind, name, known)


class BadValue(T2IError):
    """A number or text outside its allowed range."""


class PromptTooLong(T2IError):
    """A prompt needs more tokens than its fixed length; truncating it would silently drop words."""


class UnknownWord(T2IError):
    """A prompt has a word, such as an emoji, for which the tokenizer has no token."""


class SourceUnavailable(T2IError):
    """A dataset or model is neither in the mirror nor on the hub."""


class BadData(T2IError):
    """A data file is damaged or does not hold what its name says."""


class BadCheckpoint(T2IError):
    """A checkpoint folder is missing, incomplete, or of another model."""


class Diverged(T2IError):
    """A training whose loss or weights became NaN or infinite."""


class BadReport(T2IError):
    """The report's text, its results and LaTeX do not fit together."""


class OutputError(T2IError):
    """A result cannot be written to the given path."""


def one_line(error: BaseException) -> str:
    """The first line of another library's error, for use in one of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


@contextlib.contextmanager
def or_raise(kind: type[T2IError], what: str, remedy: str):
    """`kind` in place of any error of the block: `what` went wrong, the error as the reason, and the `remedy`."""
    try:
        yield
    except Exception as error:          # libraries raise a dozen unrelated types for a damaged file or no connection
        raise kind(f"{what} ({one_line(error)}): {remedy}") from error


def or_bad_checkpoint(path, remedy: str = "restore it"):
    """BadCheckpoint in place of any error of the block, which reads `path`."""
    return or_raise(BadCheckpoint, f"{path} cannot be read", remedy)
