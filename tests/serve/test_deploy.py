"""What runs a server elsewhere says what the server takes, and gives it no more than it needs."""

from __future__ import annotations

import json
import re
import shlex
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from composir.cli import serve
from composir.serve.settings import PORT

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def unit() -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "examples" / "deploy" / "composir.service", encoding="utf-8")
    return parser


def last(instruction: str) -> str:
    found: list[str] = re.findall(rf"^{instruction} (.*)$", DOCKERFILE, flags=re.MULTILINE)
    return found[-1]


def commands() -> dict[str, list[str]]:
    unit_line = unit()["Service"]["ExecStart"].replace("${CREDENTIALS_DIRECTORY}", "/run")
    return {"Dockerfile": json.loads(last("CMD")), "unit": shlex.split(unit_line)}


@pytest.mark.parametrize("file", ["Dockerfile", "unit"])
def test_the_commands_are_ones_that_the_verb_takes(file: str) -> None:
    words = commands()[file]
    assert Path(words[0]).name == "composir"
    assert words[1] == "serve"
    context = get_command(serve.app).make_context("serve", words[2:], resilient_parsing=False)
    assert context.params["host"] == "0.0.0.0"
    assert context.params["key_file"] is not None  # other machines reach it
    assert not context.params["without_key"]
    assert context.params["port"] == PORT


def test_the_container_has_no_root_and_a_check_of_an_address_that_there_is() -> None:
    assert last("USER").isdecimal()  # which the host can tell from root without our user table
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nCMD ")
    check = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", DOCKERFILE)
    assert check is not None
    assert check.groups() == (str(PORT), "/readyz")
    assert last("EXPOSE") == str(PORT)


def test_the_service_may_do_little() -> None:
    [one] = service()["services"].values()
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert one["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert not {"privileged", "network_mode", "pid", "cap_add"} & one.keys()
    assert all(place.endswith(":ro") for place in one["volumes"] if ":/data" not in place)
    assert set(one["secrets"]) == set(service()["secrets"])


def test_the_unit_may_do_little() -> None:
    section = unit()["Service"]
    assert section["DynamicUser"] == section["NoNewPrivileges"] == "yes"
    assert section["ProtectSystem"] == "strict"
    assert section["CapabilityBoundingSet"] == ""
