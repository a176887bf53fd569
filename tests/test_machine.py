import os

import pytest

from tfar import machine
from tfar.machine import cores, free_memory


def test_the_limit_of_a_control_group_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    there = free_memory()
    assert there > 10**8
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 300\nactive_file 100\n")
    assert abs(free_memory() - there) < there / 2
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_memory() == 600


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system cannot bind a process to cores")
def test_the_cores_are_those_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores() == len(allowed)
