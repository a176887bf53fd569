import plot_speed
import pytest

from tfar.errors import TfarError

TABLE = """preset,engine,threads,CPU-s/MP
tiny,floor,1,0.05
tiny,keras,1,0.19
tiny,litert 8-bit,1,0.11
tiny,litert 8-bit,2,0.10
region-aware-q10 base,keras,1,1.08
"""


def test_a_preset_is_as_fast_as_its_fastest_engine_on_one_core(tmp_path):
    (tmp_path / "speed.csv").write_text(TABLE)
    found = plot_speed.presets_by(tmp_path / "speed.csv")
    assert {name: seconds for name, (seconds, _) in found.items()} == {"tiny": 0.11, "region-aware-q10 base": 1.08}


def test_layers_have_the_scores_that_were_noted_for_them():
    assert plot_speed.psnr("region-aware-q10 fused") < plot_speed.psnr("region-aware-q10 base") - 0.1
    with pytest.raises(TfarError, match="region-aware-q10 has no score"):
        plot_speed.psnr("region-aware-q10")


def test_nothing_is_faster_and_better_than_what_the_line_joins():
    points = [(3.0, 29.0), (1.0, 28.0), (2.0, 27.5), (4.0, 28.9), (1.0, 27.0)]
    assert plot_speed.unbeaten(points) == [(1.0, 28.0), (3.0, 29.0)]
