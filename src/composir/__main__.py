"""`python -m composir`: the same as the `composir` command."""

from composir.cli.entry import run

if __name__ == "__main__":
    run()
