from tfar.batch.ledger import Ledger


def test_a_picture_that_kills_its_workers_is_quarantined():
    ledger = Ledger(2)
    assert [ledger.begin("a", "x"), ledger.begin("b", "y"), ledger.begin("a", "x")] == [1, 1, 2]
    assert ledger.begin("a", "x") == {
        "path": "a",
        "target": "x",
        "status": "quarantined",
        "attempts": 2,
        "error": "a: it killed its worker 2 times",
    }
    assert ledger.begin("b", "y") == 2
    assert ledger.begin("a", "z") == 1  # another result of the same picture


def test_what_is_done_is_not_begun_again_until_it_is_reported():
    ledger = Ledger(2)
    ledger.begin("a", "x")
    ledger.end("x", {"path": "a", "status": "restored"})
    assert ledger.begin("a", "x") == ledger.begin("a", "x") == {"path": "a", "status": "restored"}
    ledger.forget(["x", "unknown"])
    assert ledger.begin("a", "x") == 1


def test_what_an_earlier_run_has_quarantined_is_not_tried():
    ledger = Ledger(3, ["a"])
    assert ledger.begin("a", "x")["status"] == "quarantined"
    assert ledger.begin("b", "y") == 1
