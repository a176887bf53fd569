import pandas
import pyarrow as pa
import pytest
from pyarrow import parquet

from tfar.batch import report
from tfar.batch.places import Place
from tfar.batch.report import SCHEMA, Report
from tfar.errors import TfarError


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
    for name in ("000000.parquet", "000001.parquet"):
        parquet.write_table(table("of before"), tmp_path / name)
    (tmp_path / "mine.txt").touch()
    Report(Place(str(tmp_path))).close()
    assert len(list(tmp_path.iterdir())) == 3  # where nothing came, the report of before stays
    written = Report(Place(str(tmp_path)))
    written.add(table("a"))
    written.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.parquet", "mine.txt"]
    (tmp_path / "mine.txt").unlink()
    assert list(pandas.read_parquet(tmp_path).path) == ["a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("000000.parquet", pa.table({"path": ["a.jpg"]})),
        ("copied.parquet", table("a")),
        ("0.parquet", table("a")),
        ("000001.parquet", None),
    ],
)
def test_parquet_files_that_are_no_report_are_neither_removed_nor_joined(tmp_path, name, content):
    if content is None:
        (tmp_path / name).write_bytes(b"no parquet")
    else:
        parquet.write_table(content, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(TfarError, match=f"{tmp_path}/{name}: is not of a report; choose another folder"):
        Report(Place(str(tmp_path)))
    assert (tmp_path / name).read_bytes() == before
