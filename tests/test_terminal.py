import io
import re

import pytest

from tfar import terminal

TABLE = "**LIVE1, 2 images**\n\n|  | PSNR |\n| --- | ---: |\n| JPEG | 27.77 |"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def patched(monkeypatch, is_terminal):
    """Streams that are a terminal or not, in place of stdout and stderr."""
    out, err = ((Terminal if is_terminal else io.StringIO)() for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return out, err


both = pytest.mark.parametrize("is_terminal", [False, True], ids=["piped", "terminal"])


@both
def test_tables_are_laid_out_on_a_terminal_and_markdown_elsewhere(monkeypatch, is_terminal):
    out, _ = patched(monkeypatch, is_terminal)
    terminal.print_tables(TABLE)
    text = out.getvalue()
    assert "27.77" in text
    assert (text == TABLE + "\n") == (not is_terminal)
    assert ("| ---" in text) == (not is_terminal)


def test_rows_on_a_terminal_hold_the_whole_texts(monkeypatch):
    out, _ = patched(monkeypatch, True)
    names = ["/photos/" + "0123456789/" * 12 + "IMG_*1*.jpg", "__init__.jpg", "[bold]a|b.jpg", "two\nlines.jpg"]
    terminal.print_rows([{"file": name, "advice": "restored as a JPEG of quality 75"} for name in names])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert all(len(line) <= 80 for line in lines)
    start = next(line.index("advice") for line in lines if "advice" in line)
    column = "".join(line[:start].strip() for line in lines)
    assert all(name.replace("\n", r"\n") in column for name in names)


def test_rows_are_markdown_elsewhere(monkeypatch):
    out, _ = patched(monkeypatch, False)
    terminal.print_rows([{"file": "a|b\n*.jpg", "grid": "-"}])
    assert out.getvalue().splitlines()[2] == r"| a\|b\n*.jpg | -      |"


@both
def test_errors_are_one_line_and_red_on_a_terminal(monkeypatch, is_terminal):
    out, err = patched(monkeypatch, is_terminal)
    line = "tfar: /photos/[bold]a.jpg: not a readable image " + "x" * 100 + r"\n\x1b[32m"
    terminal.print_error(line.replace(r"\n\x1b", "\n\x1b"))
    assert err.getvalue() == (f"\x1b[31m{line}\x1b[0m\n" if is_terminal else f"{line}\n") and not out.getvalue()


@both
def test_progress_is_shown_on_a_terminal_only_and_changes_nothing(monkeypatch, is_terminal):
    out, err = patched(monkeypatch, is_terminal)
    assert list(terminal.track(iter("abc"), 3, "images")) == ["a", "b", "c"]
    assert ("images" in err.getvalue()) == is_terminal and not out.getvalue()


@both
def test_a_bar_counts_on_a_terminal(monkeypatch, is_terminal):
    out, err = patched(monkeypatch, is_terminal)
    with terminal.bar(4, "restoring") as advance:
        advance(1)
        advance(2)
    assert ("3/4" in err.getvalue()) == is_terminal and out.getvalue() == ""


@both
def test_a_bar_counts_parts_on_a_terminal(monkeypatch, is_terminal):
    out, err = patched(monkeypatch, is_terminal)
    with terminal.parts_bar(4, "restoring") as show:
        for item, share in (("a", 0.3), ("b", 0.4), ("a", 1.0), ("b", 0.9), ("b", 1.0), ("c", 0.9)):
            show(item, share)
    assert ("2/4" in err.getvalue()) == is_terminal and "3/4" not in err.getvalue() and out.getvalue() == ""
