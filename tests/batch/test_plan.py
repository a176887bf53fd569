import pandas
import pyarrow as pa

from tfar.batch import plan
from tfar.batch.listing import Entry
from tfar.batch.places import Place
from tfar.batch.plan import part_names, read_parts, write_plan


def planned(listed, folder, extension=".png"):
    count = write_plan(listed, Place(str(folder)), extension)
    assert part_names(count) == sorted(file.name for file in folder.iterdir())
    rows = read_parts(Place(str(folder)), pa.table({"part": part_names(count)})).to_pandas()
    assert len(rows) == count
    return {row.source: (row.target, row.error) for row in rows.itertuples()}


def test_names_that_clash_keep_their_extensions(tmp_path):
    names = ["a.jpg", "a.webp", "a.jpg.png", "b.jpg", "sub/b.webp", "sub/c.d.jpg", "e"]
    rows = planned([Entry(f"/x/{name}", name) for name in names], tmp_path)
    assert {source[3:]: target for source, (target, _) in rows.items()} == {
        "a.jpg": "a.jpg.png",
        "a.webp": "a.webp.png",
        "a.jpg.png": "a.jpg.png.png",
        "b.jpg": "b.png",
        "sub/b.webp": "sub/b.png",
        "sub/c.d.jpg": "sub/c.d.png",
        "e": "e.png",
    }


def test_names_clash_where_file_systems_tell_no_letters_apart(tmp_path):
    names = ["A.jpg", "a.webp", "caf\u00e9.jpg", "cafe\u0301.webp", "SUB/b.jpg", "sub/b.webp"]
    rows = planned([Entry(f"/x/{name}", name) for name in names], tmp_path)
    assert {source[3:]: target for source, (target, _) in rows.items()} == {name: f"{name}.png" for name in names}


def test_a_picture_is_planned_once_and_no_two_for_one_file(tmp_path):
    twice = Entry("/x/a.jpg", "a.jpg")
    rows = planned([twice, Entry("b", "", "is bad"), twice, Entry("/y/a.jpg", "a.jpg")], tmp_path, None)
    assert rows == {
        "/x/a.jpg": ("a.jpg", ""),
        "b": ("", "is bad"),
        "/y/a.jpg": ("", "/y/a.jpg: /x/a.jpg would be written to a.jpg, too"),
    }


def test_a_plan_has_files_of_some_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "ROWS", 10)
    rows = planned([Entry(f"/x/{number}.jpg", f"{number}.jpg") for number in range(25)], tmp_path)
    assert rows == {f"/x/{number}.jpg": (f"{number}.png", "") for number in range(25)}
    assert sorted(len(pandas.read_parquet(file)) for file in tmp_path.iterdir()) == [5, 10, 10]
    assert write_plan([], Place(str(tmp_path / "none")), ".png") == 0 and not (tmp_path / "none").exists()
