"""Filters that killed the process once, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.commands import paint_all

CODE = """
import json, sys
from tests.e2e.commands import composir
from tests.fakes import ColourModel
from composir.cli import models
models.resolve_model = lambda name, threads: ColourModel()
pictures, gallery, sidecar, *filters = json.load(sys.stdin)
assert composir("index", pictures, "--gallery", gallery, "--metadata", sidecar).exit_code == 0
for where in filters:
    done = composir("search", "red", "--gallery", gallery, "--where", where)
    print(json.dumps([done.exit_code, done.output]), flush=True)
"""
CAST = "cast(" * 571 + "width" + " as int)" * 571 + " > 0"


def test_filters_that_overflow_the_engine_are_refused(tmp_path: Path) -> None:
    paint_all(tmp_path / "pictures")
    (tmp_path / "m.csv").write_text("file,price\nred.png,1\n")
    filters = [
        "width" + " + 1" * 900 + " > 0",
        CAST,
        "lpad(path, 2000000000, 'x') = 'y'",
        "repeat(path, 2000000000) = 'y'",
        " OR ".join(f"a={number}" for number in range(20_000)),
        "NOT " * 5_000 + "width > 0",
        " OR ".join(f"price = {number}" for number in range(9_000)),  # which is just a list
    ]
    places = (tmp_path / name for name in ("pictures", "gallery", "m.csv"))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([*map(str, places), *filters]),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in answers] == [2, 2, 2, 2, 2, 2, 0]
    causes = ("deep", "CAST is not", "function lpad()", "function repeat()", "no column", "deep")
    for (_, output), cause in zip(answers[:-1], causes, strict=True):
        assert cause in " ".join(output.split())
        assert len(output) < 2_000
    assert "red.png" in answers[-1][1]
