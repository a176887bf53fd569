import subprocess
import sys

from helpers import ROOT


def test_the_tables_of_scores_are_those_of_the_presets():
    command = [sys.executable, ROOT / "scripts" / "write_tables.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
