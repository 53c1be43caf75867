"""The front door: `t2i COMMAND`. It parses arguments and turns errors into one line; see commands.py."""

import contextlib
import functools
import io
import re
import sys

import tyro

from .commands import COMMANDS
from .errors import BadValue, T2IError

ABOUT = "Text-to-image diffusion with classifier-free guidance: train, sample, measure, draw the figures."


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Errors a user can mend are one line on stderr and exit status 2."""
    try:
        _parse(arguments)()
    except T2IError as error:
        print(f"t2i: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print(f"t2i: {stopped or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _parse(arguments):
    """The command with its arguments, still to be called; tyro's boxes are brought down to one line."""
    later = {name: _later(command) for name, command in COMMANDS.items()}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(later, prog="t2i", args=arguments, description=ABOUT)
    except SystemExit as stop:
        if stop.code:
            raise BadValue(_in_one_line(said.getvalue())) from None
        raise


def _in_one_line(box: str) -> str:
    """The first thing that tyro says in a box of complaints, and where help is."""
    _, *lines = [line.strip("─━│╭╮╰╯ ") for line in box.splitlines()]                # the first is the box's title
    words = re.split(r" Argument helptext| For full helptext", " ".join(" ".join(lines).split()))[0]
    words = re.sub(r"(Perhaps you meant: --[\w-]+).*", r"\1", words)
    command = re.search(r"\bin (t2i \w+) --help|For full helptext, run (t2i \w+) --help", box)
    return f"{words.rstrip('.')}; see {next(filter(None, command.groups())) if command else 't2i'} --help"


def _later(command):
    """`command` with its signature and help, that gives back the call in place of making it."""

    @functools.wraps(command)
    def bound(*arguments, **options):
        return functools.partial(command, *arguments, **options)

    return bound
