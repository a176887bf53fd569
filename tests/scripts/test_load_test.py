import os

import load_test
import numpy as np
import psutil
import pytest
from load_test import Tally
from serve_client import RequestFailed

from tfar.errors import TfarError

SMALL = ["--clients", "4", "--seconds", "1", "--files", "6", "--sides", "16", "48", "--damaged", "0.3"]


@pytest.fixture
def options(addresses):
    return load_test.arguments().parse_args([*addresses["grpc"], *SMALL, "--pid", str(os.getpid())])


class Broken:
    """A server that answers so many requests as it should, and then in a way of its own."""

    def __init__(self, server, good, predict):
        self.server, self.good, self.bad = server, good, predict

    def predict(self, signature, inputs):
        found = self.server.predict(signature, inputs)
        self.good -= 1
        return found if self.good >= 0 else self.bad(found)


def swapped(found):
    return {name: value[::-1] for name, value in found.items()}


def refused(found):
    raise RequestFailed("too much")


def gone(found):
    raise TfarError("cannot be reached")


def darker(found):
    """The same but for one pixel."""
    images = [load_test.Image.open(load_test.io.BytesIO(file)) if file else None for file in found["restored_bytes"]]
    for image in filter(None, images):
        image.putpixel((3, 4), (9, 9, 9))
    files = [load_test.as_png(np.asarray(image)) if image else b"" for image in images]
    return found | {"restored_bytes": np.array(files, object)}


def unreadable(found):
    return found | {"restored_bytes": np.array([file and b"junk" for file in found["restored_bytes"]], object)}


def nameless(found):
    return {"restored_bytes": found["restored_bytes"]}


def silent(found):
    return found | {"error": np.array([b""] * len(found["error"]), object)}


def test_nothing_is_lost(options, capsys):
    options.seconds = 2.0
    assert load_test.run(options) == 0
    row, memory = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| 4 |", "memory"))]
    clients, requests, files, damaged, failed, wrong, *percentiles = row.strip("| ").split(" | ")
    assert int(requests) > 4 and int(requests) < int(files) and 0 < int(damaged) < int(files)
    assert (failed, wrong) == ("0", "0")
    assert sorted(map(float, percentiles)) == list(map(float, percentiles))
    assert memory.startswith("memory by quarter of the time: ")


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (swapped, "replies were wrong"),
        (darker, "replies were wrong"),
        (silent, "replies were wrong"),
        (unreadable, "replies were wrong"),
        (nameless, "requests failed, such as: 'error'"),
        (refused, "requests failed, such as: too much"),
        (gone, "requests failed, such as: cannot be reached"),
    ],
)
def test_what_goes_wrong_is_seen(options, monkeypatch, capsys, bad, fault):
    connect = load_test.connect
    alone = 2 * options.files  # requests before the load
    monkeypatch.setattr(load_test, "connect", lambda options: Broken(connect(options), alone, bad))
    with pytest.raises(TfarError, match=fault):
        load_test.run(options)


def test_a_server_that_is_gone_is_told_by_its_requests(options, monkeypatch):
    def memory_info(process):
        raise psutil.NoSuchProcess(process.pid)

    connect = load_test.connect
    monkeypatch.setattr(load_test, "connect", lambda options: Broken(connect(options), 2 * options.files, gone))
    monkeypatch.setattr(psutil.Process, "memory_info", memory_info)
    with pytest.raises(TfarError, match="requests failed, such as: cannot be reached"):
        load_test.run(options)


def test_files_that_are_answered_wrongly_when_sent_alone(options, monkeypatch):
    connect = load_test.connect
    monkeypatch.setattr(load_test, "connect", lambda options: Broken(connect(options), 1, silent))
    with pytest.raises(TfarError, match="a damaged file was restored"):
        load_test.run(options)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [({"pid": 2**22 + 1}, "no such process"), ({"sides": [48, 16]}, "the least side is 48 pixels, more than")],
)
def test_options_without_a_sense(options, changed, fault):
    vars(options).update(changed)
    with pytest.raises(TfarError, match=fault):
        load_test.run(options)


def test_no_request_is_a_fault(options):
    assert load_test.report(Tally(), [100.0], options) == ["no request was made"]


def test_percentiles_and_memory_by_hand(options, capsys):
    tally = Tally(seconds=[0.01 * number for number in range(101)], files=150, damaged=7)
    assert load_test.report(tally, [999.0] * 5 + [100.0] * 10 + [105.0] * 5, options) == []
    out = capsys.readouterr().out
    assert "| 4 | 101 | 150 | 7 | 0 | 0 | 0.50 | 0.90 | 0.99 | 1.00 |" in out
    assert "memory by quarter of the time: 999, 100, 100, 105 MB" in out
    [fault] = load_test.report(tally, [100.0] * 15 + [106.0] * 5, options)
    assert fault == "memory grew by 6% from the second quarter to the last"
