from dataclasses import replace

from rich.progress import Progress

from composir.cli.progress import PlainLines, StageBar, describe
from composir.gallery.progress import IndexProgress

HALFWAY = IndexProgress(
    stage="encoding",
    done=1200,
    total=5000,
    failures=3,
    images_per_second=48.13,
    seconds_left=79.0,
    current=None,
)


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    line = describe(HALFWAY)
    assert line == "encoding 1,200/5,000, 48.1 images/s, 1 min 19 s left, 3 failures"


def test_what_is_not_known_yet_is_left_out() -> None:
    start = IndexProgress("scanning", 7, None, 0, 0.0, None, None)
    assert describe(start) == "scanning 7"


def test_plain_lines_come_every_few_seconds_and_at_each_new_stage() -> None:
    now: list[float] = [0.0]
    lines: list[str] = []
    show = PlainLines(every=5.0, clock=lambda: now[0], write=lines.append)
    for second in range(12):
        now[0] = float(second)
        show(replace(HALFWAY, done=second))
    show(replace(HALFWAY, stage="tidying", done=0))
    assert [line.split(",")[0] for line in lines] == [
        "encoding 0/5",
        "encoding 5/5",
        "encoding 10/5",
        "tidying 0/5",
    ]


def test_the_bar_shows_one_stage_at_a_time() -> None:
    bar = Progress(disable=True)
    show = StageBar(bar)
    show(HALFWAY)
    (task,) = bar.tasks
    assert (task.description, task.completed, task.total) == ("encoding", 1200, 5000)
    assert task.fields == {
        "rate": "48.1 images/s",
        "left": "1 min 19 s left",
        "failed": "3 failed",
    }
    show(IndexProgress("tidying", 0, None, 0, 0.0, None, None))
    (task,) = bar.tasks
    assert (task.description, task.total, task.fields["rate"]) == ("tidying", None, "")
