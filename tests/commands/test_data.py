"""`course_lib.data`: the files of the course are found, checked and loaded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from course_lib import data

ROOT = Path(data.__file__).parents[1]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of `data/` that a test may damage."""
    place = tmp_path / "data"
    shutil.copytree(ROOT / "data", place)
    monkeypatch.setenv("COURSE_DATA", str(place))
    return place


def test_digits_have_the_documented_shapes_types_and_range():
    x_train, y_train, x_test, y_test = data.load_digits()
    assert (x_train.shape, x_test.shape) == ((1437, 64), (360, 64))
    assert (y_train.shape, y_test.shape) == ((1437,), (360,))
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    for x in (x_train, x_test):
        assert x.min() == 0
        assert x.max() == 1
        assert np.all(x * 16 == np.round(x * 16))  # ink was counted from 0 to 16
    assert set(y_train) == set(y_test) == set(range(10))


def test_the_split_is_the_order_of_the_file():
    _, y_train, _, y_test = data.load_digits()
    assert y_train[:10].tolist() == list(range(10))
    assert y_test[-5:].tolist() == [9, 0, 8, 9, 8]


def test_standardized_digits_have_mean_0_and_mean_square_1():
    x_train, _, x_test, _ = data.load_digits(standardize=True, dtype="float64")
    assert x_train.dtype == np.float64
    assert abs(x_train.mean()) < 1e-12
    assert abs((x_train**2).mean() - 1) < 1e-12
    plain_train, _, plain_test, _ = data.load_digits(dtype="float64")
    scale = plain_train.std()
    assert np.allclose(x_test, (plain_test - plain_train.mean()) / scale, atol=1e-14)


def test_changing_what_was_returned_changes_nothing_for_the_next_reader():
    first = data.load_digits()
    before = [array.copy() for array in first]
    for array in first:
        array[:] = 7
    for array, expected in zip(data.load_digits(), before, strict=True):
        assert np.array_equal(array, expected)


@pytest.mark.parametrize(
    ("keywords", "error", "names"),
    [
        ({"dtype": "int8"}, ValueError, "`dtype` is 'int8'"),
        ({"dtype": None}, ValueError, "`dtype` is None"),
        ({"standardize": "yes"}, TypeError, "`standardize` is 'yes'"),
    ],
)
def test_bad_arguments_get_one_sentence(keywords, error, names):
    with pytest.raises(error) as caught:
        data.load_digits(**keywords)
    assert str(caught.value).startswith(names)
    assert str(caught.value).count("\n") == 0


def test_every_file_that_is_shipped_has_license_origin_and_checksum():
    for name, entry in data.manifest().items():
        assert entry["licence"].startswith(("CC BY 4.0", "public domain", "MIT")), name
        assert len(entry["origin"]) > 20, name
        assert len(entry["sha256"]) == 64, name
    assert data.unlisted() == []
    assert sum(entry["bytes"] for entry in data.manifest().values()) < 3_000_000


def test_the_files_are_as_the_manifest_says():
    assert data.problems() == []


def test_a_missing_file_is_reported_by_name(copy):
    (copy / "digits.npz").unlink()
    with pytest.raises(data.DataError, match=r"^data/digits\.npz is missing: restore it with"):
        data.load_digits()
    assert [sentence[:15] for sentence in data.problems()] == ["data/digits.npz"]


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-1], lambda raw: raw[:-1] + b"?", lambda _: b""]
)
def test_a_damaged_file_is_reported_by_name(copy, damage):
    place = copy / "digits.npz"
    place.write_bytes(damage(place.read_bytes()))
    with pytest.raises(data.DataError, match=r"^data/digits\.npz is damaged \("):
        data.load_digits()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3'])
def test_a_damaged_manifest_is_reported_by_name(copy, text):
    (copy / data.MANIFEST).write_text(text)
    with pytest.raises(data.DataError, match=r"^data/MANIFEST\.json cannot be read"):
        data.load_digits()


@pytest.mark.parametrize("name", ["digits.csv", "../README.md", ""])
def test_a_name_that_is_not_listed_is_refused(name):
    with pytest.raises(data.DataError, match=r"it has .*digits\.npz") as caught:
        data.path(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, b"digits.npz", Path("digits.npz")])
def test_a_name_is_text(name):
    with pytest.raises(TypeError, match="`name` is"):
        data.path(name)


def test_the_folder_is_found_from_the_notebooks_and_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_DATA", raising=False)
    for place in (ROOT, ROOT / "notebooks", tmp_path):
        monkeypatch.chdir(place)
        assert data.folder() == ROOT / "data"


def test_the_nearest_folder_above_wins(copy, monkeypatch):
    monkeypatch.delenv("COURSE_DATA")
    below = copy.parent / "notebooks" / "mine"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert data.folder() == copy.resolve()


def test_somebody_elses_data_folder_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_DATA", raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / data.MANIFEST).write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert data.folder() == ROOT / "data"


def test_without_a_folder_one_sentence_says_how_to_name_one(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(data, "__file__", str(tmp_path / "site-packages/course_lib/data.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(data.DataError, match="set COURSE_DATA to its folder `data`"):
        data.folder()


def test_a_wrong_course_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(data.DataError, match=r"^COURSE_DATA is '.*', where there is no MANIFEST"):
        data.load_digits()


def test_refreshing_renews_our_own_files_and_no_others(copy):
    listed = json.loads((copy / data.MANIFEST).read_text(encoding="utf-8"))["files"]
    assert listed["ledger.csv"]["ours"]
    (copy / "ledger.csv").write_text("id,kind\nX,claim\n", encoding="utf-8")
    (copy / "digits.npz").write_bytes(b"not what scikit-learn ships")
    (copy / "results").mkdir(exist_ok=True)
    (copy / "results" / "late.json").write_text("{}", encoding="utf-8")
    assert data.refresh_manifest() == ["ledger.csv", "results/late.json"]
    assert data.load_table("ledger.csv") == [{"id": "X", "kind": "claim"}]
    assert data.path("results/late.json").read_text() == "{}"
    with pytest.raises(data.DataError, match="digits"):
        data.path("digits.npz")  # the control: a file from elsewhere is never blessed
    assert data.refresh_manifest() == []
    (copy / "results" / "late.json").unlink()
    assert data.refresh_manifest() == ["results/late.json"]


def test_a_file_nobody_listed_is_noticed(copy):
    (copy / "poems.txt").write_text("…", encoding="utf-8")
    (copy / ".DS_Store").write_text("", encoding="utf-8")
    assert [sentence.split()[0] for sentence in data.unlisted()] == ["data/poems.txt"]
