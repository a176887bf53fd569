import errno
import os
import threading
import time
from pathlib import Path

import pytest
from helpers import save_image
from skimage import data

from tfar.errors import ImageError
from tfar.restoration import files
from tfar.restoration.files import STDIO, Job, Outcome, Stopped, plan, plan_in_place

COLOR = data.astronaut()[:33, :41]


def pairs(sources, target, **options):
    """Sources and targets of a plan."""
    jobs, _ = plan(sources if isinstance(sources, list) else [sources], target, **options)
    return [(job.source, list(job.targets)) for job in jobs]


def test_plan_of_a_file(tmp_path):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    (tmp_path / "out").mkdir()
    assert pairs(source, tmp_path / "x" / "new.tif") == [(source, [tmp_path / "x" / "new.tif"])]
    assert pairs(str(source), str(tmp_path / "out")) == [(source, [tmp_path / "out" / "photo.png"])]
    assert pairs(source, tmp_path / "out", extension=".webp") == [(source, [tmp_path / "out" / "photo.webp"])]
    assert pairs(source, tmp_path / "out", extension=None) == [(source, [tmp_path / "out" / "photo.jpg"])]
    assert pairs("-", "-") == [(STDIO, [STDIO])]
    assert pairs("-", tmp_path / "out") == [(STDIO, [tmp_path / "out" / "stdin.png"])]
    assert pairs(source, "-") == [(source, [STDIO])]


def test_a_file_is_never_restored_over_itself(tmp_path, monkeypatch):
    source = save_image(tmp_path / "photo.png", COLOR)
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    for target in (source, tmp_path, "photo.png", ".", "link.png", "hard.png"):
        for existing in ("refuse", "skip", "overwrite"):
            with pytest.raises(ImageError, match="is one of the inputs; choose another output, or --in-place"):
                plan(["photo.png"], target, existing=existing)


def test_plan_of_the_candidates_of_a_file(tmp_path):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    [(given, targets)] = pairs(source, tmp_path / "x" / "new.v2.tif", candidates=2)
    assert given == source
    assert [target.name for target in targets] == ["new.v2-1.tif", "new.v2-2.tif", "new.v2-candidates.tif"]
    assert {target.parent for target in targets} == {tmp_path / "x"}
    [(_, targets)] = pairs(source, tmp_path, candidates=1)
    assert targets == [tmp_path / "photo-1.png", tmp_path / "photo-candidates.png"]
    [(_, targets)] = pairs(source, tmp_path, candidates=11)
    assert [target.stem for target in targets[8:]] == ["photo-9", "photo-10", "photo-11", "photo-candidates"]


def test_plan_of_a_folder_keeps_the_tree(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    found = [save_image(source / name, COLOR) for name in ("a.jpg", "sub/a.jpg", "sub/deep/b.PNG")]
    (source / "notes.txt").write_text("no image")
    expected = [target / "a.png", target / "sub/a.png", target / "sub/deep/b.png"]
    assert pairs(source, target) == [(file, [written]) for file, written in zip(found, expected)]
    assert pairs(source, target, candidates=1)[1] == (
        found[1],
        [target / "sub/a-1.png", target / "sub/a-candidates.png"],
    )
    assert pairs(source, target, extension=None)[2] == (found[2], [target / "sub/deep/b.PNG"])
    assert not target.exists()
    jobs, others = plan([source], target, recursive=False)
    assert [job.source for job in jobs] == found[:1]
    assert others == {source / "notes.txt": "no image", source / "sub": "a subfolder"}


def test_several_inputs_go_into_a_folder_as_cp_does(tmp_path):
    found = [save_image(tmp_path / name, COLOR) for name in ("a.jpg", "trip/b.jpg", "trip/day/c.jpg")]
    out = tmp_path / "out"
    assert pairs([found[0], tmp_path / "trip"], out) == [
        (found[0], [out / "a.png"]),
        (found[1], [out / "trip/b.png"]),
        (found[2], [out / "trip/day/c.png"]),
    ]
    with pytest.raises(ImageError, match="a.jpg: there are several inputs, so the output must be a folder"):
        plan(found[:2], found[0])
    with pytest.raises(ImageError, match="-: standard input goes into one file, not into a folder"):
        plan([found[0], "-"], out)


def test_plan_never_writes_two_images_to_one_file(tmp_path):
    source = tmp_path / "in"
    alike = ("IMG.JPG", "img.png", "\u00e9.jpg", "e\u0301.png")  # but for the case or the composition of letters
    for name in ("a.jpg", "a.png", "a.jpg.jpg", "b.jpg", "sub/a.jpg", *alike):
        save_image(source / name, COLOR)
    targets = {
        str(file.relative_to(source)): str(target.relative_to(tmp_path)) for file, [target] in pairs(source, tmp_path)
    }
    assert targets == {
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "a.jpg.jpg": "a.jpg.jpg.png",
        "b.jpg": "b.png",
        "sub/a.jpg": "sub/a.png",
        **{name: f"{name}.png" for name in alike},
    }
    (source / "a-1.jpg").write_bytes((source / "a.jpg").read_bytes())
    names = [target for _, targets in pairs(source, tmp_path, candidates=12) for target in targets]
    assert len(set(names)) == len(names) == 10 * 13
    with pytest.raises(ImageError, match="b.jpg.png: two inputs would be written to it"):
        plan([source / "b.jpg", source / "b.jpg", save_image(tmp_path / "b.jpg", COLOR)], tmp_path / "out")


def test_plan_refuses(tmp_path):
    source = save_image(tmp_path / "in" / "photo.jpg", COLOR)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="absent.jpg: no such file or folder"):
        plan([tmp_path / "absent.jpg"], tmp_path / "out.png")
    with pytest.raises(ImageError, match="out.gif: cannot write this format"):
        plan([source], tmp_path / "out.gif")
    with pytest.raises(ImageError, match="photo.jpg: the input is a folder, so the output must be a folder"):
        plan([tmp_path / "in"], source)
    with pytest.raises(ImageError, match="empty: no image files"):
        plan([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ImageError, match="photo.jpg is no folder"):
        plan([source], source / "out.png")
    with pytest.raises(ImageError, match="photo.jpg: is no folder"):
        plan([source], f"{source}/", existing="overwrite")
    with pytest.raises(ImageError, match="^-: standard output takes one picture, and candidates are several"):
        plan([source], "-", candidates=2)
    for existing in ("refuse", "skip"):
        with pytest.raises(ImageError, match="the name is longer than 255 bytes"):
            plan([source], tmp_path / f"{'x' * 253}.png", existing=existing)


def test_an_empty_path_is_not_the_folder_that_one_is_in(tmp_path, monkeypatch):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    monkeypatch.chdir(tmp_path)
    for sources, target in (([""], tmp_path / "out"), ([source], ""), ([source, ""], tmp_path / "out")):
        with pytest.raises(ImageError, match="^a path is empty"):
            plan(sources, target)
    with pytest.raises(ImageError, match="^a path is empty"):
        plan_in_place([source, ""])
    assert plan_in_place(["."])[0] == [Job(Path("photo.jpg"), (Path("photo.jpg"),))]


def test_what_ends_as_folders_do_is_a_folder(tmp_path):
    source = save_image(tmp_path / "photo.jpg", COLOR)
    assert pairs(source, f"{tmp_path}/new/") == [(source, [tmp_path / "new" / "photo.png"])]
    assert pairs(source, f"{tmp_path}/new/", extension=None) == [(source, [tmp_path / "new" / "photo.jpg"])]
    assert pairs("-", f"{tmp_path}/new/") == [(STDIO, [tmp_path / "new" / "stdin.png"])]


def test_files_that_exist(tmp_path):
    source = save_image(tmp_path / "in" / "photo.jpg", COLOR)
    there = save_image(tmp_path / "out" / "photo.png", COLOR)
    with pytest.raises(ImageError, match=f"{there}: exists; --skip-existing keeps what is there, --overwrite"):
        plan([source], there)
    save_image(tmp_path / "in" / "second.jpg", COLOR)
    with pytest.raises(ImageError, match=rf"{there}: exists \(1 of 2 outputs do\)"):
        plan([tmp_path / "in"], tmp_path / "out")
    for existing in ("skip", "overwrite"):
        assert pairs(source, there, existing=existing) == [(source, [there])]
    there.chmod(0o444)
    with pytest.raises(ImageError, match=f"{there}: is read-only"):
        plan([source], there, existing="overwrite")
    there.unlink()
    there.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ImageError, match=f"{there}: is a link, which would be replaced"):
        plan([source], there, existing="overwrite")
    there.unlink()
    os.mkfifo(there)
    with pytest.raises(ImageError, match=f"{there}: is no regular file"):
        plan([source], there, existing="overwrite")


def test_standard_input_is_no_file_that_exists(tmp_path):
    there = save_image(tmp_path / "photo.png", COLOR)
    assert pairs("-", there, existing="skip") == [(STDIO, [there])]


def test_a_folder_is_not_restored_over_its_own_files(tmp_path):
    save_image(tmp_path / "a.png", COLOR)
    save_image(tmp_path / "b.jpg", COLOR)
    beside = tmp_path / "b.jpg"
    for sources, target in (
        ([tmp_path], tmp_path),
        ([tmp_path, beside], tmp_path),
        ([beside, tmp_path], tmp_path.parent),
    ):
        with pytest.raises(ImageError, match=f"{tmp_path}: its results would lie among its files"):
            plan(sources, target)
    assert pairs(tmp_path / "b.jpg", tmp_path) == [(tmp_path / "b.jpg", [tmp_path / "b.png"])]


def test_results_in_a_folder_of_the_source_are_no_sources(tmp_path):
    source = save_image(tmp_path / "b.jpg", COLOR)
    target = tmp_path / "sub" / "out"
    expected = [(source, [target / "b.png"])]
    assert plan([tmp_path], target) == ([Job(source, (target / "b.png",))], {})
    save_image(target / "b.png", COLOR)
    (target / "note.txt").write_text("no image")
    jobs, others = plan([tmp_path], target, existing="skip")
    assert [(job.source, list(job.targets)) for job in jobs] == expected and others == {target: "the output folder"}


def test_a_source_named_by_dots_stays_inside_the_target(tmp_path, monkeypatch):
    found = [save_image(tmp_path / "trip" / name, COLOR) for name in ("a.jpg", "day/b.jpg")]
    monkeypatch.chdir(found[1].parent)
    out = tmp_path / "out"
    assert [targets for _, targets in pairs(["..", "b.jpg"], out)] == [
        [out / "trip" / "a.png"],
        [out / "trip" / "day" / "b.png"],
        [out / "b.png"],
    ]


@pytest.mark.parametrize("name", ["a-1.png", "a-3.png", "a-candidates.png"])
def test_candidates_are_not_written_over_an_input(tmp_path, name):
    for file in ("a.jpg", name):
        save_image(tmp_path / file, COLOR)
    with pytest.raises(ImageError, match=f"{name}: is one of the inputs"):
        plan([tmp_path / "a.jpg", tmp_path / name], tmp_path, candidates=3)
    with pytest.raises(ImageError, match=f"{name}: is one of the inputs"):
        plan([tmp_path / name], tmp_path / "a.png", candidates=3)
    assert len(pairs(tmp_path, tmp_path / "out", candidates=3)) == 2
    assert len(pairs(tmp_path / name, tmp_path, candidates=3)) == 1


def test_plan_in_place(tmp_path):
    found = [save_image(tmp_path / name, COLOR) for name in ("a.jpg", "sub/b.png")]
    (tmp_path / "folder").symlink_to(tmp_path / "sub")
    again = (found[0], tmp_path / "sub" / ".." / "a.jpg", tmp_path / "folder", tmp_path / "folder" / "b.png")
    jobs, others = plan_in_place([found[0], tmp_path / "sub", *again])
    assert jobs == [Job(found[0], (found[0],)), Job(found[1], (found[1],))] and others == {}
    (tmp_path / "link.jpg").symlink_to(found[0])
    with pytest.raises(ImageError, match="link.jpg: is a link"):
        plan_in_place([tmp_path / "link.jpg"])
    found[1].chmod(0o444)
    with pytest.raises(ImageError, match="b.png: is read-only"):
        plan_in_place(found)
    jobs, others = plan_in_place([tmp_path])
    assert [job.source for job in jobs] == found[:1]
    assert others.pop(tmp_path / "folder") == "a link to a folder"
    assert others.pop(found[1]) == "is read-only" and "is a link" in others.pop(tmp_path / "link.jpg") and not others
    with pytest.raises(ImageError, match="absent.png: no such file"):
        plan_in_place([tmp_path / "absent.png"])


# Running jobs.

JOBS = [Job(STDIO / str(i), (STDIO,)) for i in range(8)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_outcomes_come_in_order_and_jobs_overlap(at_once):
    together = threading.Barrier(at_once + 1)
    running, most = [], []

    def work(job, check):
        running.append(job)
        together.wait(10)
        most.append(len(running))
        together.wait(10)
        running.remove(job)
        return Outcome(job, "restored")

    assert [outcome.job for outcome in files.run(JOBS, work, at_once)] == JOBS
    assert max(most) <= at_once + 1


def test_a_full_disk_stops_the_run_and_no_job_goes_on():
    begun, stopped = [], threading.Event()

    def work(job, check):
        begun.append(job)
        if job is JOBS[0]:
            while len(begun) < 2:
                time.sleep(0.001)
            try:
                raise ImageError("a.png: cannot be written") from OSError(errno.ENOSPC, "No space left on device")
            except ImageError as error:
                files.raise_if_full(error)
        while True:
            try:
                check()
            except Stopped:
                stopped.set()
                raise
            time.sleep(0.001)

    with pytest.raises(Stopped, match="a.png: cannot be written; the run stops here"):
        list(files.run(JOBS, work))
    assert stopped.is_set() and len(begun) == 2


def test_an_interruption_ends_the_jobs_under_way():
    begun, ended = threading.Event(), threading.Event()

    def work(job, check):
        if job is JOBS[0]:
            return Outcome(job, "restored")
        begun.set()
        try:
            while True:
                check()
                time.sleep(0.001)
        finally:
            ended.set()

    outcomes = files.run(JOBS, work)
    assert next(outcomes).status == "restored"
    assert begun.wait(10) and not ended.is_set()
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)
    assert ended.is_set()


def test_other_errors_are_not_taken_for_a_full_disk():
    files.raise_if_full(ImageError("not an image"))
    try:
        raise ImageError("x") from OSError(errno.EACCES, "Permission denied")
    except ImageError as error:
        files.raise_if_full(error)
