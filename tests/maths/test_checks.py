"""The helpers that refuse: what they let through, and the words they use."""

import numpy as np
import pytest

from course_lib import checks


def test_arrays_pass_through():
    for value in ([[1, 2], [3, 4]], np.ones((2, 2), np.float32), ((1.0, 2.0), (3.0, 4.0))):
        result = checks.as_matrix("W", value)
        assert result.dtype == np.float64
        assert result.shape == (2, 2)
    W = np.ones((2, 3))
    assert checks.as_matrix("W", W) is W
    assert checks.as_array("x", 3).shape == ()
    assert checks.as_matrix("x", np.ones((2, 3, 4)), ndim=3).shape == (2, 3, 4)
    assert np.isnan(checks.as_array("x", [np.nan], finite=False)[0])
    assert checks.as_array("x", np.ones(2, np.float16), dtype=None).dtype == np.float16
    assert checks.as_array("x", np.ones(2, np.int8), dtype=None).dtype == np.float64
    assert np.isinf(checks.as_array("x", [1e6], dtype=np.float16)[0])


def test_numbers_pass_through():
    assert checks.number("q", np.float32(0.5)) == 0.5
    assert checks.number("q", np.array(2)) == 2.0
    assert checks.positive_int("depth", np.int64(3)) == 3
    assert type(checks.positive_int("depth", np.int64(3))) is int
    assert checks.positive_int("lag", 0, minimum=0) == 0
    assert checks.positive_number("limit", 1) == 1.0
    assert checks.one_of("mode", "b", ("a", "b")) == "b"


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: checks.as_array("x", [[1, 2], [3]]),
            TypeError,
            "`x` is [[1, 2], [3]]; it takes numbers, in an array of any shape.",
        ),
        (
            lambda: checks.as_matrix("W", np.ones(3)),
            ValueError,
            "`W` has shape (3,); it takes a matrix of numbers.",
        ),
        (
            lambda: checks.as_array("x", np.ones(3), shape=(4,)),
            ValueError,
            "`x` has shape (3,); it takes numbers of shape (4,).",
        ),
        (
            lambda: checks.as_array("x", [[1.0, np.nan], [np.inf, 1.0]]),
            ValueError,
            "`x` holds nan at [0, 1] (2 of 4 entries not finite); it takes finite numbers.",
        ),
        (
            lambda: checks.as_array("x", np.inf),
            ValueError,
            "`x` is inf; it takes finite numbers.",
        ),
        (
            lambda: checks.as_array("x", np.ones((0, 3))),
            ValueError,
            "`x` is empty, of shape (0, 3); it takes numbers, in an array of any shape.",
        ),
        (
            lambda: checks.as_array("x", "ten", takes="a vector"),
            TypeError,
            "`x` is 'ten'; it takes a vector.",
        ),
        (
            lambda: checks.positive_int("depth", 2.5),
            TypeError,
            "`depth` is 2.5; it takes a whole number, 1 or more.",
        ),
        (
            lambda: checks.positive_int("depth", 99, maximum=50),
            ValueError,
            "`depth` is 99; it takes a whole number from 1 to 50.",
        ),
        (
            lambda: checks.positive_int("depth", True),
            TypeError,
            "`depth` is True; it takes a whole number, 1 or more.",
        ),
        (
            lambda: checks.positive_number("limit", 0),
            ValueError,
            "`limit` is 0; it takes a finite number above 0.",
        ),
        (
            lambda: checks.number("q", np.nan, minimum=0),
            ValueError,
            "`q` is nan; it takes a finite number, 0 or more.",
        ),
        (
            lambda: checks.number("q", np.ones(3), maximum=1),
            TypeError,
            "`q` is an array of shape (3,) and type float64; it takes a finite number, 1 or less.",
        ),
        (
            lambda: checks.one_of("mode", "Relu", ("relu", "tanh")),
            ValueError,
            "`mode` is 'Relu'; it takes one of relu, tanh (perhaps relu).",
        ),
        (
            lambda: checks.one_of("mode", 1, (True, "tanh")),
            ValueError,
            "`mode` is 1; it takes one of True, tanh.",
        ),
        (
            lambda: checks.function("loss", 3),
            TypeError,
            "`loss` is 3; it takes a function.",
        ),
        (
            lambda: checks.generator("rng", 1),
            TypeError,
            "`rng` is 1; it takes a NumPy generator, such as `np.random.default_rng(1)`.",
        ),
        (
            lambda: checks.instance("trace", {}, str, "a string"),
            TypeError,
            "`trace` is {}; it takes a string.",
        ),
    ],
)
def test_the_words(call, error, sentence):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence


class _Unprintable:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, ...]"),
        (np.float32(0.5), "0.5"),
        (np.array(3), "3"),
        (np.tanh, "a ufunc (tanh)"),
        (np.random, "a module (numpy.random)"),
        (int, "a type (int)"),
        (np.random.default_rng(1), "a Generator"),
        (_Unprintable(), "a _Unprintable"),
    ],
)
def test_a_value_is_shown_in_a_few_words(value, text):
    assert checks.shown(value) == text
    assert len(checks.shown([_Unprintable()] * 50)) < 400
    assert len(checks.shown("x" * 5000)) < 40


class TestRegistry:
    shapes = checks.Registry("shape", {"round": 1, "square": 2})

    def test_it_is_a_mapping(self):
        assert self.shapes["round"] == 1
        assert list(self.shapes) == ["round", "square"]
        assert len(self.shapes) == 2
        assert "round" in self.shapes
        assert "oval" not in self.shapes
        assert self.shapes.get("oval") is None
        assert dict(self.shapes) == {"round": 1, "square": 2}
        assert repr(self.shapes) == "<shape: round, square>"

    @pytest.mark.parametrize("name", ["squares", None, 3, ["round"], np.ones(3)])
    def test_an_unknown_name_is_a_value_error_and_a_key_error(self, name):
        for kind in (ValueError, KeyError):
            with pytest.raises(kind) as caught:
                self.shapes[name]
        assert str(caught.value).startswith("`shape` is ")
        assert "it takes one of round, square" in str(caught.value)


def test_a_name_from_an_array_is_the_name():
    assert checks.one_of("kind", np.array(["tanh"])[0], ("tanh", "relu")) == "tanh"


def test_a_whole_number_beyond_float64_is_refused():
    with pytest.raises(ValueError, match="`limit` is 1"):
        checks.number("limit", 10**400)


@pytest.mark.parametrize(
    ("text", "as_html"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("use `a < b`", "use <code>a &lt; b</code>"),
        ("`x` and `y`", "<code>x</code> and <code>y</code>"),
        ("a stray ` stays", "a stray ` stays"),
    ],
)
def test_text_becomes_html_without_harm(text, as_html):
    assert checks.inline(text) == as_html
