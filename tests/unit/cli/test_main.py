import errno
import sys
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from composir.cli import main
from composir.errors import GalleryBusyError

runner = CliRunner()


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A verb named `act` that raises whatever is put into the list."""
    to_raise: list[BaseException] = []
    module = ModuleType("composir_test_verb")
    module.app = typer.Typer()  # type: ignore[attr-defined]

    def act() -> None:
        raise to_raise[0]

    module.app.command()(act)
    monkeypatch.setitem(sys.modules, "composir_test_verb", module)
    monkeypatch.setitem(main.VERBS, "act", main.Verb("composir_test_verb", "Act."))
    return to_raise


def test_help_lists_every_verb_without_importing_any() -> None:
    result = runner.invoke(main.app, ["--help"])
    assert result.exit_code == 0
    for name, known in main.VERBS.items():
        assert name in result.output
        assert known.summary.split()[0] in result.output


def test_an_expected_error_is_one_line_on_stderr_with_its_exit_code(
    verb: list[BaseException],
) -> None:
    verb.append(GalleryBusyError("another process\x1b[2J indexes it"))
    result = runner.invoke(main.app, ["act"])
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == "error: another process\\x1b[2J indexes it\n"


def test_what_the_system_refuses_is_one_line(verb: list[BaseException]) -> None:
    verb.append(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 500))
    result = runner.invoke(main.app, ["act"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: the system refuses: File name too long: {'x' * 40}…{'x' * 79}\n"
    )
    verb[0] = RuntimeError("Could not determine home directory.")
    assert "a user that this system lacks" in runner.invoke(main.app, ["act"]).stderr
    verb[0] = RuntimeError("a bug")
    assert isinstance(runner.invoke(main.app, ["act"]).exception, RuntimeError)


def test_lines_of_an_error_stay_lines(verb: list[BaseException]) -> None:
    verb.append(GalleryBusyError("two problems:\n  first\x07"))
    assert runner.invoke(main.app, ["act"]).stderr == "error: two problems:\n  first\\x07\n"


def test_a_missing_extra_says_which_one(verb: list[BaseException]) -> None:
    verb.append(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    result = runner.invoke(main.app, ["act"])
    assert result.exit_code == 2
    assert "pip install 'composir[train]'" in result.stderr


def test_a_bug_keeps_its_traceback(verb: list[BaseException]) -> None:
    verb.append(ModuleNotFoundError("No module named 'nowhere'", name="nowhere"))
    assert isinstance(runner.invoke(main.app, ["act"]).exception, ModuleNotFoundError)
    verb[0] = ZeroDivisionError()
    assert isinstance(runner.invoke(main.app, ["act"]).exception, ZeroDivisionError)


def test_ctrl_c_exits_with_130(verb: list[BaseException]) -> None:
    verb.append(KeyboardInterrupt())
    result = runner.invoke(main.app, ["act"])
    assert result.exit_code == 130
    assert result.stderr == "stopped.\n"


def test_a_mistyped_verb_gets_a_suggestion() -> None:
    result = runner.invoke(main.app, ["serch"])
    assert result.exit_code == 2
    assert "search" in result.stderr


def test_the_version_is_the_package_s() -> None:
    import composir

    result = runner.invoke(main.app, ["--version"])
    assert result.stdout == f"composir {composir.__version__}\n"
