"""Every chapter in JupyterLab, in a real browser, used as a reader would use it.

A chapter is opened cut down to its set-up, explorers, predictions, quizzes and exercises; its
training is left out. The first two chapters are also run whole, and all of them with `test --all`.
"""

import os
import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.commands import browsing, chapters, excerpt
from course_lib.learn import exercises

pytestmark = pytest.mark.browser

CHAPTERS = chapters.all_chapters(chapters.chosen())
WHOLE = CHAPTERS if os.environ.get("COURSE_ALL") or chapters.chosen() else CHAPTERS[:2]
INTERACTIVE = ("show.explore", "learn.predict", "learn.quiz", "learn.check")
WHOLE_SECONDS = 300
OURS = ".jp-OutputArea-output, .jp-MarkdownOutput"  # what the course puts on JupyterLab's page

# Every picture of the course: its words, its size, and how many different colours a sample has.
PICTURES = """
async parts => Promise.all([...document.querySelectorAll(`:is(${parts}) img`)].map(async i => {
  await i.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 200;
  const context = canvas.getContext("2d");
  context.drawImage(i, 0, 0, 200, 200);
  const colors = new Set(new Uint32Array(context.getImageData(0, 0, 200, 200).data.buffer));
  return {alt: i.alt, width: i.naturalWidth, height: i.naturalHeight, colors: colors.size};
}))
"""

# JupyterLab's body has no height, and its panels hide what flows over: axe would take every output
# for invisible, look at none, and find nothing.
UNHIDE = """
parts => document.querySelectorAll(parts).forEach(part => {
  for (let box = part.parentElement; box; box = box.parentElement)
    box.style.setProperty("overflow", "visible", "important");
})
"""


def cut_down(notebook):
    """Return the cells of a chapter that a reader answers or moves, and what these need."""
    cells = excerpt.needed(notebook.cells, lambda cell: excerpt.calls(cell, *INTERACTIVE))
    short = new_notebook(cells=cells, metadata=notebook.metadata)
    return nbformat.from_dict(short)


# ---------------------------------------------------------------- what is asked of a page


def blank_pictures(running):
    """Return what is wrong with the pictures in the outputs, one sentence each."""
    problems = []
    for picture in running.page.evaluate(PICTURES, OURS):
        if len(picture["alt"]) < 20:  # JupyterLab itself writes "Image" where there is none
            problems.append(f"a picture without alt text: {picture['alt']!r}")
        if picture["width"] < 50 or picture["height"] < 50 or picture["colors"] < 3:
            problems.append(f"a blank picture: {picture['alt'][:60]!r}")
    return problems


def move_by_keyboard(running):
    """Move every control of every explorer by its keys; return what did not change its picture."""
    problems = []
    for number, explorer in enumerate(running.explorers()):
        explorer.root.scroll_into_view_if_needed()
        for handle in explorer.handles:
            name = handle.get_attribute("aria-label")
            if not name:
                problems.append(f"explorer {number}: a slider has no name")
            at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            problems += changed(explorer, handle, "ArrowLeft" if at_end else "ArrowRight", name)
        for box in explorer.root.locator("input[type=checkbox]").all():
            problems += changed(explorer, box, "Space", "a box to tick")
        for choice in explorer.root.locator("select").all():
            last = choice.evaluate("box => box.selectedIndex === box.length - 1")
            problems += changed(explorer, choice, "ArrowUp" if last else "ArrowDown", "a choice")
        if explorer.problem:
            problems.append(f"explorer {number}: {explorer.problem}")
    return problems


def changed(explorer, control, key, name):
    """Press a key up to five times; return a sentence if the picture is still the same."""
    explorer.wait_until_sharp()
    before = explorer.pixels()
    for _ in range(5):
        frame = explorer.frame
        control.focus()
        control.press(key)
        explorer.wait_for_picture_after(frame)
        explorer.wait_until_sharp()
        if explorer.pixels() != before:
            return []
    return [f"{name}: five presses of {key} leave the picture as it was"]


def answer_a_question(running, form):
    """Answer a prediction or a quiz by keyboard; return what it then says."""
    form.scroll_into_view_if_needed()
    fields, choice = form.locator("input"), form.locator("button[type=button]").first
    if fields.count():
        fields.first.press_sequentially("0.25")
        assert fields.first.input_value() == "0.25"
        fields.first.press("Enter")
    else:
        choice.press("Enter")
        assert choice.get_attribute("aria-pressed") == "true", running.focus()
    line = form.locator("[role=status] .course-line")
    line.wait_for(timeout=browsing.ANSWER_SECONDS * 1000)
    return line.inner_text()


def answer_an_exercise(running, place, name):
    """Type the solution of an exercise into its cell, run it by keyboard; return what it says."""
    exercise = exercises.find(name)
    answer = exercise.name if exercise.wants_function else f"{exercise.name}()"
    source = f'import numpy as np\n\n{exercise.solution_source()}\nlearn.check("{name}", {answer})'
    cell = running.page.locator(".jp-Cell").nth(place)
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    running.page.keyboard.press("ControlOrMeta+a")
    running.page.evaluate(  # as pasting does: typing would indent by itself
        "source => window.jupyterapp.shell.currentWidget.content.activeCell.model"
        ".sharedModel.setSource(source)",
        source,
    )
    running.page.keyboard.press("Shift+Enter")
    running.wait_until_idle()
    return cell.locator(".jp-OutputArea-output").last.inner_text()


def serious_findings(running, theme):
    """Return axe-core's serious and critical findings in the outputs, in one theme."""
    running.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    running.page.wait_for_function(
        "theme => document.body.dataset.jpThemeName === theme", arg=theme
    )
    running.page.evaluate(UNHIDE, OURS)
    parts = {"include": [[part] for part in OURS.split(", ")]}
    options = {
        "resultTypes": ["violations", "passes"],
        # links without a line under them are JupyterLab's theme, not the course's
        "rules": {"link-in-text-block": {"enabled": False}},
    }
    found = Axe().run(running.page, parts, options).response
    assert found["passes"], "axe has looked at nothing"
    return [
        f"{theme}: {violation['id']}: {violation['help']}: {node['html'][:160]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


# ---------------------------------------------------------------- the chapters


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request, open_notebook):
    """Give a chapter, cut down, open and run."""
    notebook = cut_down(chapters.parse(chapters.committed(request.param)))
    with open_notebook(request.param.stem, notebook) as running:
        yield running


def test_it_runs_without_an_error_or_a_blank_picture(chapter):
    assert not chapter.errors()
    assert not blank_pictures(chapter)


def test_every_control_moves_by_keyboard_and_changes_its_picture(chapter):
    assert not move_by_keyboard(chapter)
    assert not chapter.errors()


def test_predictions_and_quizzes_take_an_answer(chapter):
    forms = chapter.page.locator(".course-question").all()
    sources = "".join("".join(cell["source"]) for cell in chapter.cells())
    assert len(forms) == len(re.findall(r"learn\.(?:predict|quiz)\(", sources))
    for form in forms:
        assert len(answer_a_question(chapter, form)) > 20
    assert not chapter.errors()


def test_an_unanswered_exercise_is_open_and_its_solution_is_right(chapter):
    found = 0
    for place, cell in enumerate(chapter.cells()):
        source = "".join(cell["source"])
        names = (
            re.findall(r'learn\.check\(\s*"([\w-]+)"', source)
            if cell["cell_type"] == "code"
            else []
        )
        if len(names) != 1:
            continue
        said = chapter.page.locator(".jp-Cell").nth(place).locator(".jp-OutputArea-output").last
        assert "○" in said.inner_text()
        assert "✓" in answer_an_exercise(chapter, place, names[0])
        found += 1
    assert found or "learn.check" not in str(chapter.cells())
    assert not chapter.errors()


@pytest.mark.parametrize("theme", [browsing.LIGHT, browsing.DARK])
def test_axe_finds_nothing_serious_in_the_outputs(theme, chapter):
    assert not serious_findings(chapter, theme)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_whole_chapter_runs_in_the_browser(path, open_notebook):
    notebook = chapters.parse(chapters.committed(path))
    with open_notebook(f"{path.stem}_whole", notebook, WHOLE_SECONDS) as running:
        assert not running.errors()
        assert not blank_pictures(running)
        assert not running.page.locator(".course-line:has-text('Does not hold')").count()
        assert not running.page.locator("mjx-merror, .MathJax_Error").all_inner_texts()
        assert not serious_findings(running, browsing.LIGHT)


# ---------------------------------------------------------------- the checks themselves


BROKEN_CELLS = {
    "a blank picture": "import matplotlib.pyplot as plt\nfrom course_lib import show\n"
    "show.figure(plt.figure(), alt='Nothing at all, and that is what this picture shows.')",
    "no alt text": "from IPython.display import HTML\n"
    "HTML('<img src=\"figures/01.svg\" width=80>')",
    "pale text": "from IPython.display import HTML\n"
    "HTML('<p style=\"color: #ddd; background: #fff\">Too pale to be read by anybody.</p>')",
    "an error": "1 / 0",  # last, because nothing runs after it
}


def test_broken_pages_are_caught(example, lab, open_notebook):
    """Errors, blank pictures, missing alt text, pale text and dead sliders are all found."""
    dead = example.containing("show.explore").source.replace(
        "np.log10(factor) * np.arange(5)", "-np.arange(5.0)"
    )
    setup = example.containing("import numpy").source
    cells = [new_code_cell(source) for source in [setup, dead, *BROKEN_CELLS.values()]]
    broken = new_notebook(cells=cells, metadata=example.notebook.metadata)
    (lab.notebooks / "figures").mkdir(exist_ok=True)
    (lab.notebooks / "figures" / "01.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="80">'
        '<rect width="40" height="80"/><circle cx="60" cy="40" r="10" fill="red"/></svg>'
    )
    with open_notebook("01_broken", broken) as running:
        assert any("ZeroDivisionError" in problem for problem in running.errors())
        assert any("blank picture" in problem for problem in blank_pictures(running))
        assert any("without alt text" in problem for problem in blank_pictures(running))
        assert any(
            "leave the picture as it was" in problem for problem in move_by_keyboard(running)
        )
        assert any(
            "color-contrast" in finding for finding in serious_findings(running, browsing.LIGHT)
        )
