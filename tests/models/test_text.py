"""Texts are read with care; windows and streams are pieces of them, each answer one step on."""

import csv
import re

import numpy as np
import pytest

from course_lib import data
from course_lib.models.text import TEXTS, UNKNOWN, Text, load_text, streams, windows

ENGLISH = "It is a truth universally acknowledged.\n" * 30
CHINESE = "床前明月光，疑是地上霜。\n" * 100


def rng(seed=71):
    return np.random.default_rng(seed)


@pytest.fixture
def write(tmp_path):
    """A function that writes bytes, or a text in UTF-8, to a file, and returns the path."""

    def to_file(content, name="mine.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def refuses(kind, call, *parts):
    """`call` raises `kind` with one sentence that has `parts` in it."""
    with pytest.raises(kind) as caught:
        call()
    sentence = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for part in parts:
        assert part in sentence, sentence


# The texts of the course


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_the_course_comes_back_from_its_codes(name):
    text = load_text(name)
    assert text.decode(text.codes) == text.text
    assert text.codes.shape == (len(text),)
    assert text.codes.min() == 0
    assert text.codes.max() == text.size - 1
    assert "".join(sorted(text.characters)) == text.characters
    assert UNKNOWN not in text.characters
    assert "\r" not in text.text
    assert "\n\n\n" not in text.text
    assert name in repr(text)


def test_northanger_abbey_is_whole_and_nothing_else():
    text = load_text("northanger_abbey").text
    assert text.startswith("NORTHANGER ABBEY")
    assert text.endswith("*Vide a letter from Mr. Richardson, No. 97, Vol. II, Rambler.\n")
    assert re.findall(r"CHAPTER (\d+)", text) == [str(n) for n in range(1, 32)]
    assert text.isascii()


def test_the_tang_poems_are_verse_and_punctuation():
    text = load_text("tang_poems").text
    assert text.count("\n\n") == 319  # 320 poems
    assert "白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。\n\n" in text
    assert not re.search(r"[^一-鿿，。？！；：\n]", text)


def test_the_forms_of_verse_are_spread_over_the_poems():
    poems = load_text("tang_poems").text.split("\n\n")
    short = [len(poem.strip()) < 30 for poem in poems]
    first, second = sum(short[:160]), sum(short[160:])
    assert abs(first - second) <= 6


def test_texts_and_sentences_have_license_origin_and_changes():
    listed = {name: entry for name, entry in data.manifest().items() if name.startswith("texts/")}
    assert {*listed} == {f"texts/{name}.txt" for name in TEXTS} | {"texts/sentences.csv"}
    for entry in listed.values():
        assert entry["licence"].startswith("public domain")
        assert "package" in entry["origin"]
        assert entry["changes"]
        assert not entry.get("ours")
    assert sum(entry["bytes"] for entry in listed.values()) < 1_600_000


def test_the_sentences_are_two_books_of_the_same_size():
    with data.path("texts/sentences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    books = [row["book"] for row in rows]
    assert {book: books.count(book) for book in books} == {
        "Emma": 1600,
        "Pride and Prejudice": 1600,
    }
    assert len({row["sentence"] for row in rows}) == 3200
    for row in rows:
        assert 8 <= len(re.findall(r"[A-Za-z']+", row["sentence"])) <= 40
        assert 1 <= int(row["chapter"]) <= 61


# The reader's own file


@pytest.mark.parametrize("content", [ENGLISH, CHINESE, "Спокойной ночи, мама.\n" * 60])
def test_a_file_in_any_script(write, content):
    text = load_text(write(content))
    assert text.text == content
    assert text.characters == "".join(sorted(set(content)))
    assert text.name == "mine.txt"
    assert load_text(str(write(content))).text == content


def test_line_ends_and_byte_order_mark_are_the_same_on_every_computer(write):
    windows_file = b"\xef\xbb\xbf" + ENGLISH.replace("\n", "\r\n").encode()
    assert load_text(write(windows_file)).text == ENGLISH
    assert load_text(write(ENGLISH.replace("\n", "\r"))).text == ENGLISH


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-16", "utf-8"])
def test_another_encoding_is_read_when_it_is_named(write, encoding):
    assert load_text(write(CHINESE.encode(encoding)), encoding=encoding).text == CHINESE


def test_the_wrong_encoding_is_answered_with_the_byte_and_the_one_to_try(write):
    chinese = write(("a\n" + CHINESE).encode("gb18030"))
    refuses(ValueError, lambda: load_text(chinese), "byte 2 (0xb4, line 2)", "'gb18030'")
    french = write("Où es-tu allé hier ?\n".encode("latin-1") * 80)
    refuses(ValueError, lambda: load_text(french), "byte 1 (0xf9, line 1)", "'latin-1'")
    utf_8 = write(CHINESE)
    refuses(ValueError, lambda: load_text(utf_8, encoding="ascii"), "not in ascii", "'utf-8'")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "", None, 8, "rot13"])
def test_an_encoding_that_is_none_is_refused(write, encoding):
    path = write(ENGLISH)
    refuses(ValueError, lambda: load_text(path, encoding=encoding), "`encoding` is", "'gb18030'")


def test_what_is_no_text_file_is_refused(write, tmp_path):
    refuses(ValueError, lambda: load_text(write("")), "mine.txt is empty")
    refuses(ValueError, lambda: load_text(write(" \n" * 900)), "mine.txt is empty")
    refuses(ValueError, lambda: load_text(write("too short")), "has 9 characters", "1000 or more")
    refuses(ValueError, lambda: load_text(tmp_path), "a folder")
    refuses(ValueError, lambda: load_text(write(b"\x89PNG\0" * 300)), "zero byte (byte 4)")
    refuses(ValueError, lambda: load_text(write(ENGLISH.encode("utf-16"))), "encoding='utf-16'")
    refuses(ValueError, lambda: load_text(write(b"a" * 20_000_001)), "20000001 bytes")


def test_a_name_that_is_none_is_refused():
    refuses(ValueError, lambda: load_text("northanger"), "perhaps northanger_abbey", "tang_poems")
    refuses(ValueError, lambda: load_text("no/such.txt"), "no/such.txt", "no such file")
    for name in ("", None, 3, b"northanger_abbey", ["tang_poems"]):
        refuses(TypeError, lambda name=name: load_text(name), "`name_or_path` is", "tang_poems")


@pytest.mark.parametrize("keywords", [{"minimum": 0}, {"shortest": 0}, {"minimum": -2}])
def test_counts_are_above_0(keywords):
    refuses(ValueError, lambda: load_text("tang_poems", **keywords), f"`{next(iter(keywords))}`")


# Characters and codes


def test_rare_characters_become_one_symbol():
    everything, folded = load_text("tang_poems"), load_text("tang_poems", minimum=5)
    assert folded.characters[0] == UNKNOWN
    assert folded.size < everything.size / 2
    kept = set(folded.characters[1:])
    assert all((everything.text.count(c) >= 5) == (c in kept) for c in everything.characters)
    assert folded.text == everything.text
    assert folded.encode("月Z").tolist() == [folded.characters.index("月"), 0]
    shown = folded.decode(folded.codes)
    assert [a for a, b in zip(shown, folded.text, strict=True) if a != b and a != UNKNOWN] == []


def test_a_strange_character_is_refused_by_name_where_none_were_folded():
    text = load_text("northanger_abbey")
    refuses(ValueError, lambda: text.encode("Où?"), "'ù' at place 1", "northanger_abbey")
    refuses(TypeError, lambda: text.encode(b"abc"), "`text` is b'abc'")


def test_decoding_refuses_what_are_no_codes():
    text = Text("mine", "abcab", "abc")
    assert text.decode([2, 0]) == "ca"
    assert text.decode([]) == ""
    refuses(ValueError, lambda: text.decode([0, 3]), "`codes` holds 3", "0 to 2")
    refuses(ValueError, lambda: text.decode([-1]), "`codes` holds -1")
    refuses(ValueError, lambda: text.decode([[1]]), "shape (1, 1)")
    for codes in ([0.5], "ab", [None], [[1], [1, 2]]):
        with pytest.raises((TypeError, ValueError), match="`codes`"):
            text.decode(codes)


def test_the_split_is_the_beginning_and_the_end():
    text = load_text("northanger_abbey")
    train, test = text.split()
    assert text.decode(np.concatenate([train, test])) == text.text
    assert abs(len(test) / len(text) - 0.1) < 1e-5
    assert len(text.split(0.25)[1]) == pytest.approx(len(text) / 4, abs=1)
    train[:] = 0
    assert text.decode(text.codes[:10]) == text.text[:10]  # a copy: nobody else loses the text


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), 1e-9])
def test_a_share_that_is_none_is_refused(share):
    refuses(ValueError, lambda: load_text("tang_poems").split(share), "`held_out` is")


# Windows and streams


def test_windows_are_pieces_of_the_text_and_their_answers_stand_one_step_on():
    codes = np.arange(100)
    x, y = windows(codes, 12, 500, rng())
    assert x.shape == y.shape == (500, 12)
    assert np.array_equal(y, x + 1)
    assert np.array_equal(np.diff(x, axis=1), np.ones((500, 11)))
    assert set(x[:, 0]) == set(range(88))  # every place, the first and the last
    assert np.array_equal(windows(codes, 12, 500, rng())[0], x)
    assert not np.array_equal(windows(codes, 12, 500, rng(72))[0], x)


def test_streams_go_on_where_they_ended():
    codes = np.arange(2 * 3 * 5 + 4)
    x, y = streams(codes, length=5, batch=2)
    assert x.shape == y.shape == (3, 2, 5)
    assert np.array_equal(y, x + 1)
    assert np.array_equal(x[1:, :, 0], y[:-1, :, -1])
    assert np.array_equal(x.swapaxes(0, 1).ravel(), codes[:30])
    assert streams(np.arange(31), 5, 2)[0].shape == (3, 2, 5)  # the last answer is the 31st
    assert streams(np.arange(30), 5, 2)[0].shape == (2, 2, 5)


def test_windows_and_streams_refuse_what_does_not_fit():
    codes = np.arange(20)
    refuses(ValueError, lambda: windows(codes, 20, 1, rng()), "20 characters", "21 or more")
    refuses(ValueError, lambda: streams(codes, 10, 2), "20 characters", "21 or more")
    refuses(TypeError, lambda: windows(codes, 5, 1, 71), "`rng` is 71")
    refuses(TypeError, lambda: windows("abc", 5, 1, rng()), "`codes`")
    refuses(TypeError, lambda: streams(codes / 2, 5, 1), "`codes`")
    refuses(ValueError, lambda: streams(codes.reshape(4, 5), 5, 1), "shape (4, 5)")
    refuses(ValueError, lambda: windows(codes - 1, 5, 1, rng()), "`codes` holds -1")
    for cut in (lambda n: windows(codes, n, 1, rng()), lambda n: streams(codes, n, 1)):
        refuses(ValueError, lambda cut=cut: cut(0), "`length` is 0")
        refuses(TypeError, lambda cut=cut: cut(2.5), "`length` is 2.5")
