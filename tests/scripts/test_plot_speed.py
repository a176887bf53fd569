import plot_speed

TABLE = """preset,engine,threads,CPU-s/MP
tiny,floor,1,0.05
tiny,keras,1,0.19
tiny,litert 8-bit,1,0.11
tiny,litert 8-bit,2,0.10
"""


def test_a_preset_is_as_fast_as_its_fastest_engine_on_one_core(tmp_path):
    (tmp_path / "speed.csv").write_text(TABLE)
    assert plot_speed.presets_by(tmp_path / "speed.csv") == {"tiny": (0.11, plot_speed.psnr("tiny"))}


def test_nothing_is_faster_and_better_than_what_the_line_joins():
    points = [(3.0, 29.0), (1.0, 28.0), (2.0, 27.5), (4.0, 28.9), (1.0, 27.0)]
    assert plot_speed.unbeaten(points) == [(1.0, 28.0), (3.0, 29.0)]
