"""Who may ask, from where, and what answers give away."""

from __future__ import annotations

import hmac
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from composir.data.announced import NONCE_HEADER, PROOF_HEADER, proof
from composir.data.fetch import FetchError, FetchLimits, Network, fetch
from composir.gallery import Gallery
from composir.serve.settings import ServeError, ServeSettings
from tests.containers import pack, picture
from tests.fakes import ColourModel
from tests.serve.live import colours, live
from tests.serve.test_bad_input import code

KEY = "a key of the test's own, long enough".replace(" ", "-")


@pytest.fixture(scope="module")
def keyed(gallery: Path) -> Iterator[httpx.Client]:
    settings = ServeSettings(api_key=KEY, local_key="of this user", names=frozenset({"photos.lan"}))
    with live(gallery, settings) as client:
        yield client


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "photos.lan"])
def test_other_machines_need_a_key_or_leave(host: str) -> None:
    with pytest.raises(ServeError, match="--api-key-file"):
        ServeSettings(host=host)
    assert not ServeSettings(host=host, api_key=KEY).is_local
    assert not ServeSettings(host=host, without_key=True).is_local
    for local in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        assert ServeSettings(host=local).is_local


@pytest.mark.parametrize(
    "path", ["/v1/gallery", "/v1/images/01/thumbnail", "/metrics", "/openapi.json", "/v1/nothing"]
)
def test_everything_of_the_gallery_asks_for_the_key(keyed: httpx.Client, path: str) -> None:
    answer = keyed.get(path)
    assert (code(answer), answer.status_code) == ("unauthorized", 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", f"Bearer {KEY}x", f"Basic {KEY}", "Bearer é"):
        given = {"Authorization": wrong.encode()}
        assert keyed.get(path, headers=given).status_code == 401  # type: ignore[arg-type]


def test_the_key_is_taken_in_every_way(keyed: httpx.Client) -> None:
    ways = [{"Authorization": f"Bearer {KEY}"}, {"X-Api-Key": KEY}]
    ways += [{"Authorization": "Bearer of this user"}]
    for headers in ways:
        assert keyed.get("/v1/gallery", headers=headers).json()["images"] == 8
    assert keyed.get("/healthz").status_code == keyed.get("/readyz").status_code == 200
    assert keyed.get("/").status_code == 200


def test_a_browser_goes_on_with_a_cookie(keyed: httpx.Client) -> None:
    begun = keyed.post("/v1/session", headers={"Authorization": f"Bearer {KEY}"})
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie
    held = {"Cookie": cookie.partition(";")[0]}
    keyed.cookies.clear()
    assert keyed.get("/v1/gallery", headers=held).status_code == 200
    forged = {"Cookie": held["Cookie"].replace("=", "=0")}
    assert keyed.get("/v1/gallery", headers=forged).status_code == 401


def test_the_key_is_compared_in_constant_time(
    keyed: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def watched(given: bytes, known: bytes) -> bool:
        compared.append(known)
        return given == known

    monkeypatch.setattr(hmac, "compare_digest", watched)
    keyed.get("/v1/gallery", headers={"X-Api-Key": "wrong"})
    assert KEY.encode() in compared
    assert b"of this user" in compared


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_turned_to_this_machine_gets_nothing(client: httpx.Client, host: str) -> None:
    for path in ("/", "/v1/gallery", "/healthz"):
        answer = client.get(path, headers={"Host": host})
        assert (code(answer), answer.status_code) == ("host-refused", 421)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "192.168.0.9:8732"])
def test_numbers_and_localhost_are_hosts(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/gallery", headers={"Host": host}).status_code == 200


def test_allowed_names_are_hosts(keyed: httpx.Client) -> None:
    headers = {"Host": "Photos.lan:8732", "X-Api-Key": KEY}
    assert keyed.get("/v1/gallery", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_can_neither_post_nor_show(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    asked = {"json": {"text": "red"}, "headers": headers}
    assert code(client.post("/v1/search", **asked)) == "origin-refused"  # type: ignore[arg-type]
    assert code(client.get("/v1/gallery", headers=headers)) == "origin-refused"


def test_the_page_itself_may_ask(client: httpx.Client) -> None:
    host = f"{client.base_url.host}:{client.base_url.port}"
    headers = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    answer = client.post("/v1/search", json={"text": "red"}, headers=headers)
    assert answer.status_code == 200
    asked = {**headers, "Access-Control-Request-Method": "POST"}
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert code(client.options("/v1/search", headers=asked)) == "method-not-allowed"


@pytest.mark.parametrize("path", ["/", "/v1/gallery", "/v1/nothing", "/healthz"])
def test_every_answer_has_the_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert len(headers["x-request-id"]) == 16
    assert "server" not in headers


def test_the_log_tells_no_secret(keyed: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("composir.serve").propagate = True
        asked = {"text": "a very private wish", "where": "path LIKE '%secret%'"}
        answer = keyed.post("/v1/search?api_key=alsosecret", json=asked, headers=headers)
        keyed.post("/v1/search", json=asked)
    lines = [r.getMessage() for r in caplog.records if r.name == "composir.serve"]
    assert any(answer.headers["x-request-id"] in line for line in lines)
    assert [line for line in lines if "private" in line or "secret" in line or KEY in line] == []
    assert KEY not in repr(ServeSettings(api_key=KEY, local_key=KEY))


def test_proof_of_who_it_is_needs_the_local_key(keyed: httpx.Client, client: httpx.Client) -> None:
    signed = keyed.get("/healthz", headers={NONCE_HEADER: "once"}).headers[PROOF_HEADER]
    assert signed == proof("of this user", "once") != proof(KEY, "once")
    assert PROOF_HEADER not in client.get("/healthz", headers={NONCE_HEADER: "once"}).headers


def test_originals_lie_in_indexed_folders_and_only_where_allowed(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    outside = shutil.copy(tmp_path / "pictures" / "red.png", tmp_path / "secret.png")
    with live(gallery, ServeSettings(originals=True)) as client:
        hits = client.post("/v1/search", json={"text": "red", "k": 2}).json()["hits"]
        address = client.get(f"/v1/images/{hits[0]['id']}").json()["original"]
        given = client.get(address)
        assert given.content == Path(hits[0]["path"]).read_bytes()
        assert given.headers["content-type"] == "image/png"
        if os.name == "posix":  # a row's file becomes a link that leads out of the folder
            Path(hits[0]["path"]).unlink()
            Path(hits[0]["path"]).symlink_to(outside)
            assert code(client.get(address)) == "not-allowed"
        Path(hits[0]["path"]).unlink()
        assert code(client.get(address)) == "not-found"


def test_an_original_is_taken_out_of_its_tar(tmp_path: Path) -> None:
    shard = pack(tmp_path / "shards" / "0.tar", {"red.png": picture("red")})
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    gallery.index([shard.parent])
    with live(gallery.path, ServeSettings(originals=True)) as client:
        hit = client.post("/v1/search", json={"text": "red", "k": 1}).json()["hits"][0]
        address = client.get(f"/v1/images/{hit['id']}").json()["original"]
        given = client.get(address)
        assert given.content == picture("red")
        assert given.headers["content-type"] == "image/png"
        pack(shard, {"blue.png": picture("blue")})
        assert code(client.get(address)) == "not-found"
        outside = shard.rename(tmp_path / "outside.tar")
        shard.symlink_to(outside)
        assert code(client.get(address)) == "not-allowed"
        shard.unlink()
        assert code(client.get(address)) == "not-found"


def test_what_is_deleted_is_the_row(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    with live(gallery) as client:
        hit = client.post("/v1/search", json={"text": "red", "k": 1}).json()["hits"][0]
        told = client.delete(f"/v1/images/{hit['id']}").json()
        assert told == {"id": hit["id"], "path": hit["path"], "total": 7}
        assert code(client.get(f"/v1/images/{hit['id']}")) == "image-not-found"
    assert Path(hit["path"]).is_file()
    assert len(Gallery(gallery, ColourModel())) == 7


def test_redirects_are_held_to_the_allowed_hosts() -> None:
    def never(*_: object) -> list[str]:
        raise AssertionError("somebody was asked")

    limits = FetchLimits(hosts=frozenset({"pictures.example"}))
    with pytest.raises(FetchError, match=r"other\.example, which is not allowed"):
        fetch("https://other.example/a.jpg", limits, Network(resolve=never))


def test_thumbnails_are_kept_as_long_as_they_stay_the_same(client: httpx.Client, red: str) -> None:
    version = client.get("/v1/gallery").json()["version"]
    address = f"/v1/images/{red}/thumbnail"
    first = client.get(address, params={"v": version})
    assert first.headers["content-type"] == "image/jpeg"
    assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert client.get(address).headers["cache-control"] == "private, no-cache"
    other = client.get(address, params={"v": version + 1})
    assert other.headers["cache-control"] == "private, no-cache"
    again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_built_page_is_served_as_it_was_compressed(gallery: Path, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>page</title>")
    (tmp_path / "assets" / "ort-1234.wasm.gz").write_bytes(gzip.compress(b"wasm" * 99))
    with live(gallery, static=tmp_path) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["cache-control"] == "private, no-cache"
        for coding in ("gzip", "identity"):
            headers = {"Accept-Encoding": coding}
            asset = client.get("/assets/ort-1234.wasm", headers=headers)
            assert asset.content == b"wasm" * 99
            assert asset.headers.get("content-encoding", "identity") == coding
            assert asset.headers["content-type"] == "application/wasm"
            assert "immutable" in asset.headers["cache-control"]
        assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_the_numbers_tell_of_answers_and_batches(client: httpx.Client) -> None:
    client.post("/v1/search", json={"text": "red"})
    told = client.get("/metrics").text
    assert 'composir_requests_total{route="/v1/search",status="200"}' in told
    assert 'composir_batch_size_count{stage="compose"}' in told
    assert "composir_gallery_images 8.0" in told
