from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.bench.encode import encode_pictures
from composir.bench.vectors import load_vectors
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import CropBox, ImageFile
from composir.errors import DatasetError
from tests.fakes import ColourModel
from tests.unit.bench.makers import write_folder


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def pictures(folder: Path) -> dict[str, ImageFile]:
    return {path.stem: ImageFile(path) for path in sorted((folder / "images").iterdir())}


def test_precomputed_vectors_are_normalised_and_found_by_id(tmp_path: Path) -> None:
    file = save(tmp_path / "v.npz", ids=np.array([7, 8]), matrix=np.array([[3.0, 4.0], [0, 2]]))
    table = load_vectors(file, dimension=2)
    assert table.rows(["8", "7"], "test") == pytest.approx(np.array([[0, 1], [0.6, 0.8]]))


@pytest.mark.parametrize(
    ("ids", "matrix", "message"),
    [
        (["a", "a"], np.ones((2, 3)), "id 'a' comes twice"),
        (["a", "b"], np.ones((2, 4)), "vectors of 4 numbers, but the model makes 3"),
        (["a"], np.ones((2, 3)), r"must be \(n,\) and \(n, D\)"),
        (["a", "b"], np.array([[1, 1, 1], [np.nan, 0, 0]]), r"the first is row 1 \(id 'b'\)"),
        (["a", "b"], np.array([[1, 1, 1], [np.inf, 0, 0]]), "NaN, infinite or zero"),
        (["a", "b"], np.array([[0, 0, 0], [1, 0, 0]]), "the first is row 0"),
    ],
)
def test_bad_vectors_are_refused(
    tmp_path: Path, ids: list[str], matrix: object, message: str
) -> None:
    file = save(tmp_path / "v.npz", ids=np.array(ids), matrix=matrix)
    with pytest.raises(DatasetError, match=message):
        load_vectors(file, dimension=3)


def test_files_that_are_no_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        load_vectors(tmp_path / "none.npz")
    with pytest.raises(DatasetError, match="no array 'matrix'"):
        load_vectors(save(tmp_path / "v.npz", ids=np.array(["a"])))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match=r"not an \.npz of plain arrays"):
        load_vectors(tmp_path / "text.npz")


@pytest.mark.parametrize("name", ["v.npy", "empty.npz"])
def test_what_is_no_npz_is_refused(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "v.npy", np.ones((2, 3)))
    (tmp_path / "empty.npz").touch()
    with pytest.raises(DatasetError, match=r"a folder, not a file"):
        load_vectors(tmp_path)
    with pytest.raises(DatasetError, match=rf"{name}: not an \.npz .*numpy.savez"):
        load_vectors(tmp_path / name)


@pytest.mark.parametrize("kind", ["complex64", "bool", "<U3", "datetime64[s]", "S2"])
def test_a_matrix_of_other_things_than_numbers_is_refused(tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "v.npz", ids=["a", "b"], matrix=np.ones((2, 3)).astype(kind))
    with pytest.raises(DatasetError, match=r"v.npz: .*`matrix`.*(be real|of plain) numbers"):
        load_vectors(file)


@pytest.mark.parametrize("kind", ["float16", "int8", "uint32", "float64"])
def test_a_matrix_of_any_numbers_is_taken(tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "v.npz", ids=["a"], matrix=np.array([[3, 4]]).astype(kind))
    assert load_vectors(file).matrix == pytest.approx(np.array([[0.6, 0.8]]))


@pytest.mark.parametrize("ids", [[1.0, 2.0], [True, False], [b"a", b"b"]])
def test_ids_of_other_kinds_are_refused(tmp_path: Path, ids: list[object]) -> None:
    file = save(tmp_path / "v.npz", ids=np.array(ids), matrix=np.ones((2, 3)))
    with pytest.raises(DatasetError, match=r"`ids` holds .*strings or whole numbers"):
        load_vectors(file)


def test_a_file_changed_or_cut_short_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    file = tmp_path / "v.npz"
    np.savez_compressed(file, ids=np.array(["a", "b"]), matrix=np.ones((2, 3)))
    whole = file.read_bytes()
    damaged = [whole[:end] for end in range(0, len(whole), 7)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole))]
    refused = 0
    for content in damaged:
        file.write_bytes(content)
        try:
            load_vectors(file)
        except DatasetError:
            refused += 1
    assert refused > len(damaged) / 2


def test_a_header_that_never_ends_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "v.npz", ids=np.array(["a"]), matrix=np.ones((1, 3)))
    with zipfile.ZipFile(file) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("ids.npy", arrays["ids.npy"])
        archive.writestr("matrix.npy", arrays["matrix.npy"].replace(b"}", b" "))
    with pytest.raises(DatasetError, match=r"v\.npz: not an \.npz of plain arrays"):
        load_vectors(file)


def test_missing_vectors_are_counted_and_named(tmp_path: Path) -> None:
    table = load_vectors(save(tmp_path / "v.npz", ids=np.array(["a"]), matrix=np.ones((1, 2))))
    wanted = ["a", *(f"x{i}" for i in range(12))]
    with pytest.raises(DatasetError, match=r"12 of 13 vectors of cirr are missing: x0.*x9, ..."):
        table.rows(wanted, "cirr")


def test_a_second_composer_costs_no_image_encoding(tmp_path: Path) -> None:
    files = pictures(write_folder(tmp_path / "set"))
    cache = FeatureStore(tmp_path / "cache" / "vectors")
    first, second = ColourModel(), ColourModel()
    one = encode_pictures(first, files, cache=cache)
    two = encode_pictures(second, files, cache=FeatureStore(tmp_path / "cache" / "vectors"))
    assert (first.encoded, second.encoded) == (8, 0)
    np.testing.assert_array_equal(one.matrix, two.matrix)


def test_the_cache_goes_by_content_and_by_bundle(tmp_path: Path) -> None:
    files = pictures(write_folder(tmp_path / "set"))
    cache = FeatureStore(tmp_path / "v")
    encode_pictures(ColourModel(), files, cache=cache)
    other_bundle = ColourModel("colours-2")
    encode_pictures(other_bundle, files, cache=cache)
    assert other_bundle.encoded == 8
    files["red"].path.write_bytes(files["blue"].path.read_bytes())
    changed = ColourModel()
    table = encode_pictures(changed, files, cache=cache)
    assert changed.encoded == 0
    np.testing.assert_array_equal(table.by_id()["red"], table.by_id()["blue"])


def test_the_same_content_under_two_names_is_encoded_once(tmp_path: Path) -> None:
    files = pictures(write_folder(tmp_path / "set"))
    twice = {"a": files["red"], "b": files["red"]}
    model = ColourModel()
    encode_pictures(model, twice, cache=FeatureStore(tmp_path / "v"))
    assert model.encoded == 1


def test_a_crop_has_a_vector_of_its_own(tmp_path: Path) -> None:
    from PIL import Image

    halves = Image.new("RGB", (20, 10), (255, 0, 0))
    halves.paste((0, 0, 255), (10, 0, 20, 10))
    halves.save(tmp_path / "halves.png")
    whole = ImageFile(tmp_path / "halves.png")
    left = ImageFile(tmp_path / "halves.png", CropBox((0, 0, 10, 10)))
    cache = FeatureStore(tmp_path / "v")
    table = encode_pictures(ColourModel(), {"whole": whole, "left": left}, cache=cache)
    red = ColourModel().encode_texts(["red"])[0]
    np.testing.assert_allclose(table.by_id()["left"], red, atol=1e-5)
    assert not np.allclose(table.by_id()["whole"], red, atol=0.1)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(DatasetError, match=r"image 'b', .*broken.png"):
        encode_pictures(ColourModel(), {"b": ImageFile(tmp_path / "broken.png")})


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    files = pictures(write_folder(tmp_path / "set"))
    encode_pictures(ColourModel(), files, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 8)]


def test_pictures_decoded_by_several_threads_keep_their_order(tmp_path: Path) -> None:
    from PIL import Image

    files = {}
    for number in range(70):
        # The first ones take longest.
        side = 400 - 5 * number
        files[str(number)] = ImageFile(tmp_path / f"{number}.png")
        Image.new("RGB", (side, side), (3 * number, 0, 0)).save(files[str(number)].path)
    table = encode_pictures(ColourModel(), files)
    assert table.ids == tuple(files)
    assert (np.diff(table.matrix[:, 0] / table.matrix[:, 3]) > 0).all()


def test_an_unreadable_picture_among_many_is_named(tmp_path: Path) -> None:
    files = pictures(write_folder(tmp_path / "set"))
    files["red"].path.write_bytes(b"\x89PNG nonsense")
    many = {f"{name}-{copy}": file for copy in range(9) for name, file in files.items()}
    with pytest.raises(DatasetError, match=r"image 'red-0', .*red.png"):
        encode_pictures(ColourModel(), many)
