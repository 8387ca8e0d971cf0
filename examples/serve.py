"""What `make serve` does: index the sample catalogue, serve its gallery, open the page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import demo


def main() -> int:
    """Index what is not indexed yet, then serve until Ctrl-C; the server's exit code."""
    demo.index()
    command = Path(sys.executable).with_name("composir")
    server = subprocess.Popen([command, "serve", "demo/gallery", *sys.argv[1:]], cwd=demo.ROOT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends in order
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
