import pandas
import pyarrow as pa

from tfar.batch import report
from tfar.batch.places import Place
from tfar.batch.report import SCHEMA, Report


def table(*paths):
    return pa.Table.from_pylist([{"path": path, "status": "restored"} for path in paths], SCHEMA)


def test_rows_are_written_in_parts_and_read_as_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROWS", 3)
    folder = tmp_path / ".tfar" / "run" / "report"
    written = Report(Place(str(folder)))
    written.add(table("a", "b"))
    assert not folder.exists()
    written.add(table("c", "d"))
    assert list(pandas.read_parquet(folder).path) == ["a", "b", "c", "d"]
    written.add(table("e"))
    written.close()
    written.close()
    assert list(pandas.read_parquet(folder).path) == ["a", "b", "c", "d", "e"]
    assert sorted(path.name for path in folder.iterdir()) == ["000000.parquet", "000001.parquet"]


def test_rows_are_not_held_back_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "SECONDS", -1)
    Report(Place(str(tmp_path))).add(table("a"))
    assert list(pandas.read_parquet(tmp_path).path) == ["a"]


def test_a_folder_of_an_earlier_run_is_one_table_of_this_one(tmp_path):
    for name in ("000000.parquet", "000001.parquet", "mine.txt"):
        (tmp_path / name).write_bytes(b"of before")
    written = Report(Place(str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    written.add(table("a"))
    written.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.parquet", "mine.txt"]
    (tmp_path / "mine.txt").unlink()
    assert list(pandas.read_parquet(tmp_path).path) == ["a"]
