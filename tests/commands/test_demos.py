"""The demos in full, as a new user runs them: pytest -m slow tests/test_demos.py"""

import json

import pytest

from tfar import cli


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ep-gan-mse", "galteri-mse", "one-to-many-mse"])
def test_a_demo_trained_for_the_mse_beats_the_jpeg_on_held_out_images(name, tmp_path):
    assert cli.main(["train", name, "--recipe", "demo", "--run", str(tmp_path / "run")]) == 0
    means = json.loads((tmp_path / "run" / "metrics.json").read_text())["means"]
    psnr = {(mean["protocol"], mean["quality"], mean["model"]): mean["scores"]["psnr"] for mean in means}
    gains = {key: value - psnr[*key[:2], "JPEG"] for key, value in psnr.items() if key[2] == "restored"}
    assert len(gains) >= 2
    assert min(gains.values()) > 0.2, gains
