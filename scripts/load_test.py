"""Load a served model with many clients at a time: nothing may be lost, mixed up or leaked.

    python scripts/load_test.py --stand-in served/saved_model               # starts scripts/serving_stand_in.py
    python scripts/load_test.py --grpc localhost:8500 --pid "$(pgrep -f tensorflow_model_server)"

Every client sends requests of one to three files to ``restore_bytes``, one after the other: parts of photographs of
random sizes as JPEG or PNG, of which some are damaged. Each file's reply must be that which the file got when it was
sent alone, before the load: the same error, or pixels within one level. Prints requests, percentiles of the time that
they took, and the server's resident memory; the exit code is 2 when a request failed, a reply was wrong, or the memory
of the last quarter of the time lies more than 5% above that of the second one.
"""

import argparse
import contextlib
import dataclasses
import io
import itertools
import sys
import threading
import time

import numpy as np
import psutil
from PIL import Image
from random_photographs import jpegs
from serve_client import add_server, connect, restore_bytes

from tfar.cli import exit_code
from tfar.commands.arguments import positive, positive_number, share
from tfar.errors import TfarError, first_line

LARGEST_REQUEST = 3  # files
PNG_SHARE = 0.2
GROWTH = 0.05


@dataclasses.dataclass(frozen=True)
class Sample:
    """A file, and the reply that it gets when it is sent alone."""

    content: bytes
    restored: bytes
    error: str

    def is_answered_by(self, restored: bytes, error: str) -> bool:
        if error != self.error or bool(restored) == bool(error):
            return False
        if restored == self.restored:
            return True
        try:
            found, expected = (np.int16(Image.open(io.BytesIO(file))) for file in (restored, self.restored))
        except (OSError, ValueError, SyntaxError):  # as Pillow raises them
            return False
        return found.shape == expected.shape and abs(found - expected).max() <= 1


@dataclasses.dataclass
class Tally:
    """What became of the requests of all clients."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    files: int = 0
    damaged: int = 0
    wrong: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


def as_png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def damaged(content: bytes, random) -> bytes:
    """A file that is cut short, has no header, or is none."""
    return [content[: len(content) // 2], content[20:], b"no image", b""][random.integers(4)]


def samples(server, options) -> tuple[list[Sample], list[Sample]]:
    """Files that can be read and damaged ones, each with its reply."""
    random, good, bad = np.random.default_rng(options.seed), [], []
    for image, content in itertools.islice(jpegs(options.photos, options.sides, options.seed), options.files):
        content = as_png(image) if random.random() < PNG_SHARE else content
        [(restored, error)] = restore_bytes(server, [content])
        if error or Image.open(io.BytesIO(restored)).size != (image.shape[1], image.shape[0]):
            raise TfarError(f"a whole file was not restored: {error or 'another size came back'}")
        good.append(Sample(content, restored, error))
        content = damaged(content, random)
        [(restored, error)] = restore_bytes(server, [content])
        if restored or not error:
            raise TfarError("a damaged file was restored")
        bad.append(Sample(content, restored, error))
    return good, bad


def client(server, choices, options, seed: int, end: float, tally: Tally, lock: threading.Lock):
    """Send one request after the other until the time is over."""
    random, (good, bad) = np.random.default_rng([options.seed, seed]), choices
    while time.monotonic() < end:
        kinds = random.random(random.integers(1, LARGEST_REQUEST + 1)) < options.damaged
        sent = [(bad if is_bad else good)[random.integers(len(good))] for is_bad in kinds]
        start = time.monotonic()
        try:
            replies, failures = restore_bytes(server, [sample.content for sample in sent]), []
        except Exception as error:  # whatever the reply is, the request counts and the client goes on
            replies, failures = [], [first_line(error)]
        seconds = time.monotonic() - start
        wrong = sum(not sample.is_answered_by(*reply) for sample, reply in zip(sent, replies))
        with lock:
            tally.seconds.append(seconds)
            tally.files += len(sent)
            tally.damaged += int(kinds.sum())
            tally.wrong += wrong
            tally.failures += failures


def load(server, choices, options, process: psutil.Process | None) -> tuple[Tally, list[float]]:
    """Run all clients; the tally, and the memory of the server over the time, in MB."""
    tally, lock, end = Tally(), threading.Lock(), time.monotonic() + options.seconds
    threads = [
        threading.Thread(target=client, args=(server, choices, options, number, end, tally, lock))
        for number in range(options.clients)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < end:
        if process:
            with contextlib.suppress(psutil.Error):  # it is gone, which the requests that fail will tell
                memory.append(process.memory_info().rss / 1e6)
        time.sleep(0.25)
    for thread in threads:
        thread.join()
    return tally, memory


def report(tally: Tally, memory: list[float], options) -> list[str]:
    """Print what was found; what is wrong with it."""
    if not tally.seconds:
        return ["no request was made"]
    percentiles = np.percentile(tally.seconds, [50, 90, 99, 100])
    print("| clients | requests | files | damaged | failed | wrong | p50, s | p90, s | p99, s | longest, s |")
    print("| ---: |" + " ---: |" * 9)
    counts = (options.clients, len(tally.seconds), tally.files, tally.damaged, len(tally.failures), tally.wrong)
    print(f"| {' | '.join(map(str, counts))} | {' | '.join(f'{value:.2f}' for value in percentiles)} |")
    faults = [f"{len(tally.failures)} requests failed, such as: {tally.failures[0]}"] if tally.failures else []
    if tally.wrong:
        faults.append(f"{tally.wrong} replies were wrong")
    if memory:
        quarters = [np.mean(part) for part in np.array_split(memory, 4)]
        print(f"\nmemory by quarter of the time: {', '.join(f'{mean:.0f}' for mean in quarters)} MB")
        if quarters[3] > (1 + GROWTH) * quarters[1]:
            faults.append(f"memory grew by {quarters[3] / quarters[1] - 1:.0%} from the second quarter to the last")
    return faults


def run(options):
    with contextlib.ExitStack() as stack:
        if options.stand_in:
            from serving_stand_in import serving_apart

            options.grpc, _, options.pid = stack.enter_context(serving_apart(options.stand_in, at_once=options.at_once))
        server = connect(options)
        choices = samples(server, options)
        try:
            process = psutil.Process(options.pid) if options.pid else None
        except psutil.NoSuchProcess as error:
            raise TfarError(f"--pid {options.pid}: no such process") from error
        faults = report(*load(server, choices, options, process), options)
    if faults:
        raise TfarError("; ".join(faults))
    return 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_server(parser)
    parser.set_defaults(timeout=300.0)
    parser.add_argument("--stand-in", metavar="FOLDER", help="serve this folder by the stand-in, and load that")
    parser.add_argument("--at-once", type=positive, default=2, metavar="N", help="of the stand-in (%(default)s)")
    parser.add_argument("--pid", type=positive, metavar="N", help="process of the server, whose memory is measured")
    parser.add_argument("--clients", type=positive, default=32, metavar="N", help="(%(default)s)")
    parser.add_argument("--seconds", type=positive_number, default=60.0, metavar="N", help="(%(default)g)")
    parser.add_argument("--photos", default="demo", metavar="FOLDER", help="default: photographs of scikit-image")
    parser.add_argument("--files", type=positive, default=60, metavar="N", help="different ones (%(default)s)")
    parser.add_argument(
        "--sides", type=positive, nargs=2, default=[32, 512], metavar="N", help="least and largest (32 512)"
    )
    parser.add_argument("--damaged", type=share, default=0.05, metavar="0..1", help="share of files (%(default)g)")
    parser.add_argument("--seed", type=positive, default=1, metavar="S", help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(run, arguments().parse_args()))
