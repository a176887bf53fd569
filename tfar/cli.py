"""The command ``tfar``: finds the commands in ``tfar.commands`` and answers for what goes wrong."""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import warnings

from tfar import __version__
from tfar.errors import TfarError
from tfar.terminal import print_error

COMMANDS = (
    "restore",
    "batch",
    "inspect",
    "pack",
    "train",
    "evaluate",
    "study",
    "compare",
    "export",
    "presets",
)  # of tfar.commands


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code.

    It is 0, 2 after a line on stderr that says what was wrong, or 130 after Ctrl-C or SIGTERM.
    """
    with contextlib.suppress(ValueError):  # in another thread than the main one
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # which ends a container: nothing half-written stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any bytes
    options = _parser().parse_args(arguments)
    return exit_code(options.run_command, options)


def exit_code(command, options: argparse.Namespace) -> int:
    """Run a command with its parsed options; what the user can mend becomes one line on stderr and the code 2."""
    _open_stderr()
    warnings.showwarning = lambda message, *_, **__: print_error(f"tfar: warning: {message}")
    try:
        return command(options)
    except TfarError as error:
        print_error(f"tfar: {error}")
        return 2
    except BrokenPipeError:
        return 2
    except KeyboardInterrupt:
        print_error("tfar: interrupted")
        return 130
    except OSError as error:
        print_error(f"tfar: {error.filename or 'error'}: {error.strerror or error}")
        return 2


def _open_stderr():
    """Let a stderr that is closed lead nowhere, or the next file would take its number and get what libraries print."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
            os.close(null)
        sys.stderr = open(2, "w", errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfar", description="Takes the damage of JPEG compression out of photographs."
    )
    parser.add_argument("--version", action="version", version=f"tfar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"tfar.commands.{name}")
        first = (module.__doc__ or name).splitlines()[0].rstrip(".")
        command = commands.add_parser(name, help=first[0].lower() + first[1:])
        module.add_arguments(command)
        command.set_defaults(run_command=module.run)
    return parser
