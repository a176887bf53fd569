import importlib.util

import pandas
import pytest
from helpers import ROOT


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("simulate_batch", ROOT / "scripts" / "simulate_batch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROWS = pandas.DataFrame({"bytes": [100], "target_bytes": [300], "cpu_seconds": [5.0], "network_cpu_seconds": [4.0]})


@pytest.mark.parametrize(
    ("cores", "workers", "speed", "line", "rate", "scarce"),
    [
        (1, 1, 1, 200, 1 / 8, "cores"),  # 0.5 + 1 + 4 + 1.5 and twice half a second for the store
        (9, 1, 1, 200, 1 / 8, "line"),
        (4, 99, 1, 1e9, 4 / 5, "cores"),
        (99, 99, 1, 200, 1 / 2, "line"),
        (1, 99, 2, 1e9, 1 / 2, "device"),
        (1, 99, 100, 1e9, 1, "cores"),
    ],
)
def test_the_scarce_resource_sets_the_pace(script, cores, workers, speed, line, rate, scarce):
    found, busy = script.simulate(ROWS, script.Machine(cores, workers, speed, line, latency=0.5), 2000)
    assert found == pytest.approx(rate, rel=0.1)
    assert max(busy, key=busy.get) == scarce


def test_the_fit_finds_what_the_seconds_were_made_of(script):
    rows = pandas.DataFrame({"megapixels": [0.1, 1, 12]})
    rows["cpu_seconds"] = 0.05 + 3 * rows.megapixels
    assert script.fit(rows, "cpu_seconds") == pytest.approx((0.05, 3))
