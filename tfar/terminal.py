"""Tables, errors and progress as a terminal shows them best; plain text where the output goes elsewhere."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


def print_tables(markdown: str):
    """Print Markdown, laid out on a terminal and as it is elsewhere."""
    if not sys.stdout.isatty():
        print(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(markdown))


def print_rows(rows: Sequence[Mapping[str, str]]):
    """Print rows of texts by their headings: on a terminal a table that cuts none of them, elsewhere Markdown."""
    shown = [{heading: printable(text) for heading, text in row.items()} for row in rows]
    if not sys.stdout.isatty():
        from tabulate import tabulate

        cells = [{heading: text.replace("|", "\\|") for heading, text in row.items()} for row in shown]
        print(tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(heading, overflow="fold") for heading in shown[0]), box=SIMPLE)
    for row in shown:
        table.add_row(*map(Text, row.values()))
    Console().print(table)


def printable(text: str) -> str:
    """A text with escapes in place of line feeds and whatever else has no place in a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_error(line: str):
    """Print one line on stderr, in red on a terminal."""
    line = printable(line)
    if not sys.stderr.isatty():
        print(line, file=sys.stderr)
        return
    from rich.console import Console

    Console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)


def track(items: Iterable, total: int, what: str) -> Iterator:
    """The items, with a progress bar and the time left on stderr where that is a terminal."""
    with _bar(what) as progress:
        yield from progress.track(items, total=total)


@contextlib.contextmanager
def bar(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal; yields a function that takes how many more are done."""
    with _bar(what) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextlib.contextmanager
def parts_bar(total: int, what: str) -> Iterator[Callable[[object, float], None]]:
    """A progress bar of several items, of which parts are done; on stderr where that is a terminal.

    Yields a function that takes an item and the share of it that is done, 0 to 1.
    """
    shares: dict[object, float] = {}
    done = 0.0
    lock = threading.Lock()
    with _bar(what) as progress:
        task = progress.add_task(what, total=total)

        def show(item: object, share: float):
            nonlocal done
            with lock:
                done += share - shares.get(item, 0)
                shares[item] = share
                progress.update(task, completed=round(done, 2))

        yield show


def _bar(what: str):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
