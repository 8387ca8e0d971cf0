"""What `make demo` shows: index the sample catalogue, search it, write a page of pictures.

Everything goes through the public commands and the public API; the searches below are all there is
to change. Run it again and only what changed is indexed again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import composir
from composir.cli.render import summary
from composir.pages.contact_sheet import gather, write_contact_sheet

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "examples" / "catalogue"
DEMO = ROOT / "demo"


@dataclass(frozen=True)
class Ask:
    """One search of the demo."""

    note: str
    image: str = ""
    text: str = ""
    negatives: tuple[str, ...] = ()
    where: str | None = None

    def command(self) -> str:
        """The same search on the command line."""
        words = ["composir", "search", "--gallery", "demo/gallery"]
        words += ["--image", f"examples/catalogue/images/{self.image}"] if self.image else []
        words += [self.text] if self.text else []
        words += [part for text in self.negatives for part in ("--not", text)]
        words += ["--where", self.where] if self.where else []
        return shlex.join(words)

    def query(self) -> composir.Query:
        """The same search in Python."""
        image = str(CATALOGUE / "images" / self.image) if self.image else None
        return composir.Query(image=image, text=self.text, negatives=self.negatives)


SEARCHES = (
    Ask(
        "The same thing in another colour.",
        "armchair-boxy-black-fabric-white-studio-front.jpg",
        "in red",
    ),
    Ask(
        "The same thing with another pattern.",
        "cushion-square-yellow-fabric-checked-grey-studio-front.jpg",
        "with stripes",
    ),
    Ask(
        "The same thing somewhere else.",
        "handbag-tote-red-leather-lawn-front.jpg",
        "on a yellow background",
    ),
    Ask("More of them.", "mug-round-red-ceramic-wooden-table-three-quarter.jpg", "a pair of them"),
    Ask(
        "Words that say what must not be there.",
        "table-lamp-cone-pink-fabric-striped-blue-wall-front.jpg",
        "a plain lamp",
        ("stripes",),
    ),
    Ask(
        "An image alone: what looks like it?", "teapot-round-pink-ceramic-x2-yellow-wall-front.jpg"
    ),
    Ask("Words alone.", text="a purple vase on the grass"),
    Ask("Words, among green things only.", text="something to sit on", where="colour = 'green'"),
    Ask("A shop that does not have it should say so.", text="a tax return form"),
)


def main() -> None:
    """Index, search, write the page."""
    started = time.perf_counter()
    index()
    gallery = composir.open_gallery(DEMO / "gallery")
    sheets = []
    for ask in SEARCHES:
        result = gallery.search(ask.query(), k=10, where=ask.where)
        sheets.append(gather(result, gallery, where=ask.where, note=ask.note))
        print(f"\n$ {ask.command()}")
        for hit in result.hits[:5]:
            print(f"{hit.rank:3}  {hit.score:.3f}  {hit.path.name}")
        print(f"     {summary(result)}")
    page = write_contact_sheet(
        DEMO / "index.html",
        sheets,
        title="Search by an image and words",
        intro=f"{len(gallery):,} pictures of a made-up shop, rendered for this demo, indexed and "
        "searched on this machine without a GPU.",
    )
    print(f"\n{len(SEARCHES)} searches, {time.perf_counter() - started:.0f} s with indexing.")
    print(f"Look at the hits: {page}")


def index() -> None:
    """Index the catalogue with the command that a user would type."""
    words = ["index", "examples/catalogue/images", "--gallery", "demo/gallery"]
    words += ["--metadata", "examples/catalogue/gallery.jsonl"]
    print(f"$ composir {shlex.join(words)}", flush=True)
    run(words)
    for words in forget_other_clones(composir.open_gallery(DEMO / "gallery").info().roots):
        print(f"$ composir {shlex.join(words)}", flush=True)
        run(words)


def forget_other_clones(roots: Iterable[Path]) -> list[list[str]]:
    """What makes a gallery that came along with a copy of this clone forget the other one."""
    foreign = [str(root) for root in roots if not root.is_relative_to(CATALOGUE)]
    return [["forget", "--yes", "--gallery", "demo/gallery", *foreign]] if foreign else []


def run(words: list[str]) -> None:
    """Run composir's command in this clone."""
    composir_command = Path(sys.executable).with_name("composir")
    subprocess.run([composir_command, *words], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
