"""What a batch costs, and what its machines run out of first, from the reports of ``tfar batch``.

``python scripts/simulate_batch.py REPORT... --price 0.04`` reads reports of runs that restored photographs, fits the
seconds of the processor to their megapixels, and simulates machines of other sizes: each worker takes a photograph that
was measured, at random, and queues for the line of its machine (the file), a core (decoding, inspection, consistency,
encoding), a core or the GPU (the network) and the line again (the result).
"""

import argparse
import dataclasses
import heapq

import numpy as np
import pandas

GIGABIT = 1e9 / 8  # bytes a second
PHOTOGRAPHS = 1e6
SIZES = (0.5, 2, 12, 24, 48)  # megapixels


@dataclasses.dataclass(frozen=True)
class Machine:
    """What workers of one machine share.

    Attributes:
        cores: that compute.
        workers: processes that take a photograph each.
        speed: of the network, against a core; above 1 it has a device of its own.
        line: bytes a second, from and to the store.
        latency: seconds until the store begins to answer.
    """

    cores: int
    workers: int
    speed: float
    line: float
    latency: float


def simulate(rows: pandas.DataFrame, machine: Machine, count: int, seed: int = 0) -> tuple[float, dict[str, float]]:
    """Photographs a second, and the share of its time that each resource is busy."""
    capacity = {"line": 1, "cores": machine.cores} | ({"device": 1} if machine.speed > 1 else {})
    free = {name: [0.0] * number for name, number in capacity.items()}
    busy = dict.fromkeys(capacity, 0.0)
    drawn = rows.sample(count, replace=True, random_state=seed)
    waiting = [stages(row, machine) for row in drawn.itertuples()]
    under_way = [(0.0, worker, []) for worker in range(machine.workers)]
    end = 0.0
    while under_way:
        now, worker, left = heapq.heappop(under_way)
        if not left:
            end = now
            if not waiting:
                continue
            left = waiting.pop()
        (resource, seconds), *left = left
        if resource == "latency":
            heapq.heappush(under_way, (now + seconds, worker, left))
            continue
        done = max(now, heapq.heappop(free[resource])) + seconds
        heapq.heappush(free[resource], done)
        busy[resource] += seconds
        heapq.heappush(under_way, (done, worker, left))
    return count / end, {name: busy[name] / capacity[name] / end for name in capacity}


def stages(row, machine: Machine) -> list[tuple[str, float]]:
    """What a worker waits for, one after the other, with the seconds of each."""
    network = (
        ("device", row.network_cpu_seconds / machine.speed) if machine.speed > 1 else ("cores", row.network_cpu_seconds)
    )
    return [
        ("latency", machine.latency),
        ("line", row.bytes / machine.line),
        ("cores", row.cpu_seconds - row.network_cpu_seconds),
        network,
        ("latency", machine.latency),
        ("line", row.target_bytes / machine.line),
    ]


def fit(rows: pandas.DataFrame, column: str) -> tuple[float, float]:
    """Seconds per photograph and per megapixel, by least squares of the relative error."""
    megapixels, seconds = rows.megapixels.to_numpy(), rows[column].to_numpy()
    terms = np.stack([np.ones_like(megapixels), megapixels], axis=1) / seconds[:, None]
    [fixed, each], *_ = np.linalg.lstsq(terms, np.ones_like(seconds), rcond=None)
    return fixed, each


def print_measured(reports: list[str]) -> pandas.DataFrame:
    print(
        "| report | photographs | megapixels | a worker and minute | processor seconds, each | of these the network |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    tables = []
    for report in reports:
        rows = pandas.read_parquet(report)
        rows = rows[rows.status == "restored"].dropna(subset=["width"])
        rows["megapixels"] = rows.width * rows.height / 1e6
        total = rows.megapixels.sum()
        seconds, network = rows.cpu_seconds.sum(), rows.network_cpu_seconds.sum()
        print(
            f"| {report} | {len(rows)} | {total:.1f} | {60 * total / rows.seconds.sum():.1f} | {seconds / total:.2f}"
            f" | {network / seconds:.0%} |"
        )
        tables.append(rows)
    return pandas.concat(tables)


def print_costs(rows: pandas.DataFrame, price: float):
    fixed, each = fit(rows, "cpu_seconds")
    print(f"\nseconds of the processor per photograph of M megapixels: {fixed:.3f} + {each:.2f} M")
    print(f"bytes per megapixel: {rows.bytes.sum() / rows.megapixels.sum() / 1e6:.2f} MB in,", end=" ")
    print(f"{rows.target_bytes.sum() / rows.megapixels.sum() / 1e6:.2f} MB out\n")
    print(f"| megapixels | seconds | photographs a core and day | core hours per million | at {price:g} a core hour |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for megapixels in SIZES:
        seconds = fixed + each * megapixels
        hours = PHOTOGRAPHS * seconds / 3600
        print(f"| {megapixels:g} | {seconds:.1f} | {86400 / seconds:,.0f} | {hours:,.0f} | {hours * price:,.0f} |")


def print_machines(rows: pandas.DataFrame, machines: list[Machine], count: int):
    print("\n| cores | network | line | workers | photographs a second | busy | runs out of |")
    print("| ---: | --- | ---: | ---: | ---: | --- | --- |")
    for machine in machines:
        rate, busy = simulate(rows, machine, count)
        network = "on the cores" if machine.speed == 1 else f"a device, {machine.speed:g} cores"
        shares = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
        print(
            f"| {machine.cores} | {network} | {machine.line / GIGABIT:g} Gbit/s | {machine.workers} | {rate:.2f}"
            f" | {shares} | {max(busy, key=busy.get)} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", help="folders of reports of tfar batch")
    parser.add_argument("--price", type=float, default=0.04, help="of a core hour (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.05, help="of the store, in seconds (%(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--lines", type=float, nargs="+", default=[1, 10], help="in Gbit/s")
    parser.add_argument("--speeds", type=float, nargs="+", default=[1, 10, 100], help="of the network, in cores")
    parser.add_argument("--count", type=int, default=5000, help="photographs to simulate (%(default)s)")
    options = parser.parse_args()

    rows = print_measured(options.reports)
    print_costs(rows, options.price)
    machines = [
        Machine(cores, cores if speed == 1 else 2 * cores, speed, line * GIGABIT, options.latency)
        for cores in options.cores
        for speed in options.speeds
        for line in options.lines
    ]
    print_machines(rows, machines, options.count)


if __name__ == "__main__":
    main()
