from skimage import data

PHOTO = data.astronaut()[:40, :33]


def test_unknown_preset(refused, photo, tmp_path):
    assert "'absent'" in refused("restore", photo, tmp_path / "out.png", "--preset", "absent")
    (tmp_path / "bad.keras").write_bytes(b"")
    assert "bad.keras" in refused("restore", photo, tmp_path / "out.png", "--preset", tmp_path / "bad.keras")
    assert not (tmp_path / "out.png").exists()


def test_presets_lists_names_and_shows_cards(run, refused, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(b"")
    (tmp_path / "two" / "README.md").write_text("# The second\n")
    monkeypatch.setattr("tfar.presets.presets_folder", lambda: tmp_path)
    assert run("presets") == (0, ["one", "two"], [])
    assert run("presets", "two")[1][0] == "# The second"
    assert "one/README.md" in refused("presets", "one")
    assert "'three'" in refused("presets", "three")
