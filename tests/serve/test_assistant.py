"""The tools of an assistant, asked through the protocol's own client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import Client, ClientSession, stdio_client
from mcp.client.stdio import StdioServerParameters

from composir.gallery import open_gallery
from composir.serve.assistant import make_assistant_server
from tests.e2e.commands import paint
from tests.fakes import ColourModel, JointColours
from tests.serve.live import colours
from tests.serve.test_verb import BEGIN, ROOT


def test_an_assistant_searches_explains_and_indexes(tmp_path: Path) -> None:
    gallery = open_gallery(colours(tmp_path), ColourModel())
    paint(tmp_path / "pictures" / "late.png", "red", (12, 9))

    async def ask() -> None:
        async with Client(make_assistant_server(gallery)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"search", "explain", "index"}
            assert tools["search"].annotations is not None
            assert tools["search"].annotations.read_only_hint
            first = await told(client, "search", text="red", k=1)
            assert Path(first["hits"][0]["path"]).stem == "red"
            asked = {"image": first["hits"][0]["id"], "text": "blue", "k": 1}
            assert (
                Path((await told(client, "search", **asked))["hits"][0]["path"]).stem == "magenta"
            )
            assert (await told(client, "explain", text="red"))["phrases"][0]["phrase"] == "red"
            assert (await told(client, "index"))["total"] == 9
            refused = await client.call_tool("search", {"text": "red", "where": "nothing = 1"})
            assert refused.is_error
            assert "filter: " in str(refused.content)

    async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await client.call_tool(tool, arguments)
        assert not answer.is_error, answer.content
        document: dict[str, Any] = json.loads(answer.content[0].text)  # type: ignore[union-attr]
        return document

    asyncio.run(ask())


def test_an_assistant_asks_for_the_joint_encoder_that_is_there(tmp_path: Path) -> None:
    gallery = open_gallery(colours(tmp_path), ColourModel())

    async def told(reranker: JointColours | None) -> str:
        async with Client(make_assistant_server(gallery, reranker)) as client:
            answer = await client.call_tool("search", {"text": "red", "rerank": True})
            return str(answer.content[0].text)  # type: ignore[union-attr]

    assert "started without --rerank" in asyncio.run(told(None))
    found = json.loads(asyncio.run(told(JointColours())))
    assert found["reranked"] == {"model": "joint-colours", "images": 8, "thumbnails": 0}


def test_the_verb_speaks_the_protocol_on_stdin_and_stdout(tmp_path: Path) -> None:
    words = ["-c", BEGIN, "serve", str(colours(tmp_path)), "--mcp"]
    places = {"PYTHONPATH": os.pathsep.join(sys.path), "COMPOSIR_HOME": str(tmp_path)}
    parameters = StdioServerParameters(
        command=sys.executable, args=words, env={**os.environ, **places}, cwd=ROOT
    )

    async def ask() -> None:
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            answer = await session.call_tool("search", {"text": "red", "k": 1})
            assert "red.png" in str(answer.content)

    asyncio.run(ask())
