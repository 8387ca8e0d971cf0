"""What `make serve` does: index the sample catalogue, serve its gallery, open the page."""

from __future__ import annotations

import demo


def main() -> None:
    """Index what is not indexed yet, then serve until Ctrl-C."""
    demo.index()
    demo.run(["serve", "demo/gallery"])


if __name__ == "__main__":
    main()
