"""`composir serve`: a gallery for browsers, programs and assistants."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli import models
from composir.cli.mirrored import gallery_folder
from composir.cli.options import DeviceOption, GalleryArgument, ModelOption, ThreadsOption
from composir.cli.terminal import note, printable
from composir.errors import QueryError
from composir.serve.settings import PORT

if TYPE_CHECKING:
    from composir.model.base import EmbeddingModel
    from composir.serve.settings import ServeSettings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)

HostOption = Annotated[
    str, typer.Option(help="Address to listen at; others than loopback need a key.")
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for one that is free.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--api-key-file", metavar="FILE", help="Ask clients for the key in this file."),
]
WithoutKeyOption = Annotated[
    bool, typer.Option("--without-key", help="Let other machines search without a key.")
]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A host name clients use; repeatable."),
]
OriginalsOption = Annotated[
    bool, typer.Option("--originals", help="Give out the files too, not only thumbnails.")
]
AddOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Take pictures from clients and keep them here."),
]
UrlOption = Annotated[
    list[str] | None,
    typer.Option("--allow-url", metavar="HOST", help="Fetch https references here; repeatable."),
]
ComposersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--composer",
        metavar="NAME=FOLDER",
        help="A trained composer that clients may name; repeatable.",
    ),
]
RerankOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help="A joint encoder that clients may ask to look at the first hits again.",
    ),
]
McpOption = Annotated[
    bool, typer.Option("--mcp", help="Speak with an assistant on stdin and stdout instead.")
]
NoOpenOption = Annotated[
    bool, typer.Option("--no-open", help="Do not open the page in the browser.")
]


@app.command(
    epilog="`composir serve`\n\n`composir serve ~/photos.gallery --port 0`\n\n"
    "`composir serve ~/photos.gallery --host 0.0.0.0 --api-key-file key.txt`\n\n"
    "`composir serve --rerank embeddinggemma-2`\n\n`composir serve --mcp`"
)
def serve(
    gallery: GalleryArgument = None,
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    key_file: KeyOption = None,
    without_key: WithoutKeyOption = False,
    names: NamesOption = None,
    originals: OriginalsOption = False,
    add_to: AddOption = None,
    url_hosts: UrlOption = None,
    composers: ComposersOption = None,
    rerank: RerankOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    mcp: McpOption = False,
    no_open: NoOpenOption = False,
) -> None:
    """Serve a gallery: a page for people, an API for programs, tools for assistants."""
    from composir.data.announced import new_key
    from composir.gallery.mirror_note import refuse_to_change_copy
    from composir.serve.settings import ServeSettings, read_key

    settings = ServeSettings(
        host=host,
        port=port,
        api_key="" if key_file is None else read_key(key_file),
        local_key=new_key(),
        without_key=without_key,
        names=frozenset(name.lower() for name in names or ()),
        originals=originals,
        uploads=None if add_to is None else _upload_folder(add_to),
        url_hosts=frozenset(name.lower() for name in url_hosts or ()),
        composers=_composers(composers or ()),
    )
    folder = gallery_folder(gallery)
    if add_to is not None:
        refuse_to_change_copy(folder)
    opened = models.existing_gallery(folder, model, models.Compute(threads, device))
    reranker = _reranker(rerank, threads)
    if mcp:
        from composir.serve.assistant import serve_assistant

        serve_assistant(opened, reranker)
        return
    from composir.serve.app import create_app
    from composir.serve.running import listen, serve

    with listen(settings) as socket:
        address = _address(settings, socket.getsockname()[1])
        guard = create_app(opened.path, opened.model, settings, reranker=reranker)
        note(f"{len(opened):,} pictures of {printable(str(opened.path))} at {address}")
        note("Ctrl-C ends it")
        if not no_open and settings.is_local and sys.stderr.isatty():
            _open_when_ready(address)
        serve(guard, opened.path, settings, socket)


def _reranker(name: str | None, threads: int | None) -> EmbeddingModel | None:
    """The joint encoder that clients may ask for; where it runs elsewhere, that is told."""
    if name is None:
        return None
    found = models.resolve_model(name, models.Compute(threads))
    models.note_receiver(found)
    return found


def _upload_folder(folder: Path) -> Path:
    from composir.data.outputs import check_folder

    check_folder(folder)
    return folder


def _address(settings: ServeSettings, port: int) -> str:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _composers(said: Sequence[str]) -> dict[str, Path]:
    found = {}
    for one in said:
        name, equals, folder = one.partition("=")
        if not name or not equals or not folder:
            raise QueryError(f"--composer takes NAME=FOLDER here, not {one!r}")
        found[name] = Path(folder).expanduser()
    return found


def _open_when_ready(address: str) -> None:
    """Open the page, if there is one, as soon as it can be searched."""
    from threading import Thread

    from composir.serve.routes.page import STATIC

    if (STATIC / "index.html").is_file():
        Thread(target=_open, args=(address,), daemon=True).start()


def _open(address: str) -> None:
    import time
    from urllib.error import URLError
    from urllib.request import ProxyHandler, build_opener

    direct = build_opener(ProxyHandler({}))
    for _ in range(600):
        try:
            direct.open(f"{address}/readyz", timeout=1).close()
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            typer.launch(address)
            return
