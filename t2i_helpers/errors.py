"""Errors a user can act on. Each message says what was wrong, where, and what to do next, in one line.

The command line prints the message and exits 2; in Python they are ordinary exceptions.
"""


class T2IError(Exception):
    """Base of every error this package raises on purpose."""

    def __init__(self, message: str):
        # a DataLoader hands on a worker's error as the text of its traceback, which ends with the message
        last = message.strip().splitlines()[-1]
        super().__init__(last.removeprefix(f"{type(self).__module__}.{type(self).__name__}: "))


class UnknownName(T2IError):
    """A dataset, variant, size, scheduler, guider or encoder that does not exist."""

    def __init__(self, kind: str, name: object, known):
        super().__init__(f"unknown {kind} {name!r}: choose one of {', '.join(map(str, known))}")


class BadValue(T2IError):
    """A number or text outside its allowed range."""


class PromptTooLong(T2IError):
    """A caption needs more tokens than its fixed length; cutting it would lose words without a sign."""


class SourceUnavailable(T2IError):
    """A dataset or model can be had neither from the mirror nor from the hub."""


class BadData(T2IError):
    """A data file is damaged, or holds something else than its name says."""


class BadCheckpoint(T2IError):
    """A checkpoint folder is missing, incomplete, or made for something else."""


class BadReport(T2IError):
    """The report's text, the results that it speaks of and LaTeX do not fit together."""


class OutputError(T2IError):
    """A result cannot be written where it was asked for."""


def one_line(error: BaseException, length: int = 160) -> str:
    """The first line of another library's error, for use in one of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:length]
