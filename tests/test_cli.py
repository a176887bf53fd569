import re
import subprocess
import sys

import pytest

import tfar
from tfar import cli
from tfar.models import SYSTEMS


def test_help_names_the_five_systems_and_an_unknown_name_all_of_them(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    words = set(re.findall(r"[a-z-]+", capsys.readouterr().out))
    assert {"region-aware", "ep-gan", "argan", "galteri-gan", "one-to-many"} <= words & set(SYSTEMS)
    assert cli.main(["train", "unknown"]) == 2
    assert set(SYSTEMS) <= set(re.findall(r"[a-z0-9-]+", capsys.readouterr().err))


def test_warnings_are_one_line_each(capsys):
    def warn(options):
        import warnings

        warnings.warn("skipped a.jpg: not a readable image", stacklevel=2)
        return 0

    assert cli.exit_code(warn, None) == 0
    assert capsys.readouterr().err == "tfar: warning: skipped a.jpg: not a readable image\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tfar {tfar.__version__}\n"


def test_help_does_not_wait_for_keras():
    code = "import sys, tfar.cli; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_process_prints_one_line_for_a_text_file(tmp_path, fused_file):
    (tmp_path / "text.jpg").write_text("no image")
    command = [
        sys.executable,
        "-c",
        "import sys; from tfar.cli import main; sys.exit(main())",
        "restore",
        str(tmp_path / "text.jpg"),
        str(tmp_path / "out.png"),
        "--preset",
        str(fused_file),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [f"tfar: {tmp_path}/text.jpg: not a readable image (unknown format)"]
    assert not (tmp_path / "out.png").exists()
