"""The entry point `t2i COMMAND`: it parses arguments and prints errors; see commands.py."""

import sys

import tyro

from .commands import COMMANDS
from .errors import T2IError

DESCRIPTION = "Text-to-image diffusion with classifier-free guidance: train, sample, evaluate, draw the figures."


def main(arguments: list[str] | None = None) -> None:
    """Run one command. A T2IError is printed as one line on stderr; that and a usage error exit with status 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="t2i", args=arguments, description=DESCRIPTION)
    except T2IError as error:
        print(f"t2i: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"t2i: {interrupt or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
