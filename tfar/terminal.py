"""Tables, errors and progress as a terminal shows them best; plain text where the output goes elsewhere."""

import sys
from collections.abc import Iterable, Iterator


def print_tables(markdown: str):
    """Print Markdown, laid out on a terminal and as it is elsewhere."""
    if not sys.stdout.isatty():
        print(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(markdown))


def print_error(line: str):
    """Print one line on stderr, in red on a terminal."""
    if not sys.stderr.isatty():
        print(line, file=sys.stderr)
        return
    from rich.console import Console

    Console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)


def track(items: Iterable, total: int, what: str) -> Iterator:
    """The items, with a progress bar and the time left on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        yield from progress.track(items, total=total)
