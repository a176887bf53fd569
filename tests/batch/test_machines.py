"""A cluster of several machines, each a Ray node of its own, on this one, with GPUs that are only said to be there."""

import subprocess
import sys
import threading

import pandas
import pytest
from PIL import Image
from skimage import data

pytest.importorskip("ray", reason="needs Ray")
from ray import cluster_utils  # noqa: E402

pytestmark = pytest.mark.slow
COUNT = 60
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@pytest.fixture
def machines(monkeypatch):
    """A head with one processor, for the plan, and two machines with a GPU each."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    cluster = cluster_utils.Cluster()
    memory = {"object_store_memory": 100_000_000, "memory": 4_000_000_000}
    cluster.add_node(num_cpus=1, include_dashboard=False, **memory)
    nodes = [cluster.add_node(num_cpus=2, num_gpus=1, **memory) for _ in range(2)]
    yield cluster, nodes
    cluster.shutdown()


def test_workers_with_half_a_gpu_each_lose_nothing_when_a_machine_fails(machines, tmp_path):
    cluster, nodes = machines
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(COUNT):
        top, left = divmod(number * 13, 300)
        Image.fromarray(data.astronaut()[top : top + 160, left : left + 160]).save(photos / f"p{number}.jpg")
    failed = []

    def fail():
        while not ended.wait(0.05):
            if len(list(out.glob("*.png"))) >= COUNT // 6:
                cluster.remove_node(nodes[0], allow_graceful=False)
                failed.append(len(list(out.glob("*.png"))))
                return

    ended = threading.Event()
    failing = threading.Thread(target=fail)
    failing.start()
    code = "import sys; from tfar.cli import main; sys.exit(main())"
    command = ["batch", photos, out, "--address", cluster.address, "--gpus", "0.5", "--workers", "4"]
    try:
        ran = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True)
    finally:
        ended.set()
        failing.join()
    assert ran.returncode == 0, ran.stderr
    assert failed and failed[0] < COUNT
    [report] = (out / ".tfar").glob("*/report")
    rows = pandas.read_parquet(report)
    assert len(rows) == COUNT and rows.path.is_unique and set(rows.status) <= {"restored", "skipped"}
    assert sorted(path.name for path in out.glob("*.png")) == sorted(f"p{number}.png" for number in range(COUNT))
