"""What `learn` writes on the page, and how it writes figures."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest

from course_lib.learn import page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (10, "10"),
        (123456789, "123456789"),
        (0.25, "0.25"),
        (1 / 3, "0.333"),
        (0.9621, "0.962"),
        (1.0, "1"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (9999.9, "10000"),
        (12345.6, "1.2e4"),
        (0.001, "0.001"),
        (0.00099, "9.9e-4"),
        (1.2e-19, "1.2e-19"),
        (-1.2e-19, "-1.2e-19"),
        (4e-19, "4e-19"),
        (3.4028e38, "3.4e38"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (True, "True"),
        ("float32", "float32"),
        (np.float32(0.25), "0.25"),
        (np.int64(7), "7"),
    ],
)
def test_figures_are_short(value, text):
    assert page.figure_text(value) == text


def test_a_figure_follows_its_format():
    assert page.figure_text(0.25, ".3f") == "0.250"
    assert page.figure_text(np.float64(1.25e-19), ".0e") == "1e-19"


@pytest.mark.parametrize("kind", page.KINDS)
def test_a_line_says_in_a_sign_and_a_word_what_its_color_says(kind):
    sign, word, color = page.KINDS[kind]
    line = page.line_html(kind, "It is so.", small="D0-1-C3", role="status")
    assert f'aria-hidden="true" style="font-weight:bold">{sign}<' in line
    assert f">{word}:</span> It is so." in line
    assert 'role="status"' in line
    assert color in line
    # the text itself takes the colour of the page, in the light and in the dark theme
    assert not re.search(r"[;\"]\s*(color|background)[^;]*:", line)


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("kind", ["holds", "fails", "wrong", "right"])
@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_the_bar_stands_out_on_light_and_on_dark(kind, paper):
    lighter, darker = sorted((luminance(page.KINDS[kind].color), luminance(paper)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) > 2


def test_words_are_listed():
    assert page.listed([]) == ""
    assert page.listed(["a"]) == "a"
    assert page.listed(["a", "b"]) == "a and b"
    assert page.listed(["a", "b", "c"], "or") == "a, b or c"


@pytest.mark.parametrize("text", ["1", "true", "yes", "on"])
def test_strict_is_on(text, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", text)
    assert page.is_strict()


@pytest.mark.parametrize("text", ["", "0", "false", "No", " "])
def test_strict_is_off(text, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", text)
    assert not page.is_strict()


def test_a_notebook_gets_html_and_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    page.show_line("holds", "It is `so`.", small="D0-1-C3")
    page.show_code("This is it:", "def f(x):\n    return 2 * x\n")
    line, code = shown
    assert set(line) == {"text/html", "text/plain"}
    assert line["text/plain"] == "✓ It is `so`.  [D0-1-C3]"
    assert "<code>so</code>" in line["text/html"]
    assert code["text/plain"].endswith("def f(x):\n    return 2 * x\n")
    assert 'class="highlight"' in code["text/html"]


def test_a_widget_comes_with_html_for_pages_without_a_kernel(monkeypatch):
    from course_lib.learn.question import Question

    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    Question("Which?", choices=["a < b", "c"]).show()
    (bundle,) = shown
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == "<p>Which?</p><ul><li>a &lt; b</li><li>c</li></ul>"
    assert bundle["text/plain"] == "Which?\n  ( ) a < b\n  ( ) c"


def test_learning_loads_no_tensorflow():
    code = "import sys; from course_lib import learn; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
