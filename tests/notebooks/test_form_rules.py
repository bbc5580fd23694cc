"""The rules of form: an example keeps them all, and whatever breaks one is caught."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from course_lib.commands import chapters, form

BROKEN = []


def breaks(rule, message):
    """Register a way to break a chapter: `rule` must say `message`, and say nothing before."""

    def register(function):
        BROKEN.append(pytest.param(rule, message, function, id=function.__name__))
        return function

    return register


@pytest.mark.parametrize("rule", form.RULES, ids=lambda rule: rule.__name__)
def test_the_example_keeps(rule, example):
    assert example.problems(rule) == []


@breaks(form.is_canonical, "nbformat 4.4")
def old_format(example):
    example.notebook.nbformat_minor = 4


@breaks(form.is_canonical, "fields the course does not use: widgets")
def stored_widget_state(example):
    example.notebook.metadata["widgets"] = {}


@breaks(form.is_canonical, "not python3")
def other_kernel(example):
    example.notebook.metadata.kernelspec.name = "my-env"


@breaks(form.has_no_outputs, "stored output")
def output(example):
    cell = example.containing("import numpy")
    cell.outputs = [new_output("stream", text="2")]


@breaks(form.has_no_outputs, "execution count")
def execution_count(example):
    example.containing("import numpy").execution_count = 1


@breaks(form.has_no_outputs, "attachment")
def attachment(example):
    example.tagged("header")["attachments"] = {"a.png": {"image/png": "AAAA"}}


@breaks(form.has_header, "course.minutes")
def no_minutes(example):
    del example.notebook.metadata.course["minutes"]


@breaks(form.has_header, "it is one of derivation")
def unknown_kind(example):
    example.notebook.metadata.course.kind = "lecture"


@breaks(form.has_header, "course.chapter is '02'")
def wrong_number(example):
    example.notebook.metadata.course.chapter = "02"


@breaks(form.has_header, "comes later")
def needs_a_later_chapter(example):
    example.notebook.metadata.course.needs = ["00", "07"]


@breaks(form.has_header, "first line")
def other_title(example):
    example.notebook.metadata.course.title = "Another"


@breaks(form.has_header, "question")
def other_question(example):
    example.notebook.metadata.course.question = "Why?"


@breaks(form.has_header, "60 seconds")
def other_seconds(example):
    example.notebook.metadata.course.seconds = 60


@breaks(form.has_header, "link to chapter 00")
def needs_without_link(example):
    cell = example.tagged("header")
    cell.source = cell.source.replace("(00_before.ipynb)", "(README.md)")


@breaks(form.has_header, "tagged `header`")
def header_not_first(example):
    example.notebook.cells.insert(0, new_markdown_cell("Hello."))


@breaks(form.has_frame, "tag `sources` is on 0 cells")
def no_sources(example):
    example.tagged("sources").metadata.tags = []


@breaks(form.has_frame, "tag `exercises` is on 2 cells")
def exercises_twice(example):
    example.notebook.cells.append(
        new_markdown_cell("## More exercises", metadata={"tags": ["exercises"]})
    )


@breaks(form.has_frame, "out of order")
def frame_out_of_order(example):
    cells = example.notebook.cells
    cell = example.tagged("one-minute")
    cells.remove(cell)
    cells.insert(3, cell)


@breaks(form.has_frame, "is no heading")
def frame_tag_on_a_paragraph(example):
    cell = example.tagged("derive")
    cell.source = "Not a heading."


@breaks(form.has_middle, "missing: measure")
def a_step_is_missing(example):
    example.tagged("measure").metadata.tags = []


@breaks(form.has_middle, "begin in the order")
def steps_out_of_order(example):
    derive, build = example.tagged("derive"), example.tagged("build")
    derive.metadata.tags, build.metadata.tags = ["build"], ["derive"]


@breaks(form.has_middle, "comes after the sources")
def step_after_the_sources(example):
    example.notebook.cells.append(new_markdown_cell("## Again", metadata={"tags": ["measure"]}))


@breaks(form.predicts_early, "first five cells")
def late_prediction(example):
    for _ in range(3):
        example.notebook.cells.insert(1, new_markdown_cell("Wait."))


@breaks(form.predicts_early, "never revealed")
def prediction_never_revealed(example):
    example.containing("learn.reveal").source = "arrives"


@breaks(form.has_exercises, "2 exercises")
def too_few_exercises(example):
    example.containing('learn.check("01-b"').source = "arrives"


@breaks(form.has_exercises, "1 quiz questions")
def too_few_quiz_questions(example):
    example.containing('learn.quiz("01-e"').source = "arrives"


@breaks(form.has_exercises, "1 explorers")
def too_few_explorers(example):
    example.containing("show.explore").source = "arrives"


@breaks(form.has_exercises, "a map has at most one")
def exercises_in_a_map(example):
    example.notebook.metadata.course.kind = "map"


@breaks(form.has_size, "has 26 lines; 25 is the most")
def long_cell(example):
    example.containing("import numpy").source = "\n".join(["x = 1"] * 26)


@breaks(form.has_size, "on average")
def long_cells(example):
    for cell in chapters.code_cells(example.notebook):
        cell.source = "\n".join(["x = 1"] * 11)


@breaks(form.has_size, "cells; a chapter has 35 to 60")
def too_many_cells(example):
    example.notebook.cells += [new_markdown_cell("One more.") for _ in range(40)]


@breaks(form.has_size, "words; a chapter has 1500 to 3000")
def too_many_words(example):
    example.notebook.cells.append(new_markdown_cell("word " * 3000))


@breaks(form.prose_before_code, "no paragraph before it")
def code_after_code(example):
    example.notebook.cells.append(new_markdown_cell("A paragraph."))
    example.notebook.cells += [new_code_cell("1 + 1"), new_code_cell("2 + 2")]


@breaks(form.prose_before_code, "no paragraph before it")
def code_after_a_bare_heading(example):
    example.notebook.cells += [new_markdown_cell("## A heading"), new_code_cell("1 + 1")]


@breaks(form.headings_are_a_tree, "follows one of level 2")
def skipped_level(example):
    example.notebook.cells.append(new_markdown_cell("#### Deep"))


@breaks(form.headings_are_a_tree, "2 titles")
def two_titles(example):
    example.notebook.cells.append(new_markdown_cell("# Another"))


@breaks(form.code_is_plain_python, "not plain Python")
def magic(example):
    example.containing("import numpy").source = "%matplotlib inline"


@breaks(form.code_is_plain_python, "is empty")
def empty_cell(example):
    example.notebook.cells.append(new_code_cell(""))


@breaks(form.code_is_plain_python, "plt.show()")
def plt_show(example):
    example.tagged("header-picture").source += "\nplt.show()"


@breaks(form.links_resolve, "no such file")
def link_to_nothing(example):
    example.notebook.cells.append(new_markdown_cell("See [there](09_there.ipynb)."))


@breaks(form.links_resolve, "no such file")
def html_picture_of_nothing(example):
    example.notebook.cells.append(new_markdown_cell('<img src="figures/99.svg" alt="nothing">'))


@breaks(form.links_resolve, "outside the course")
def link_out_of_the_course(example):
    example.notebook.cells.append(new_markdown_cell("See [there](../../elsewhere.md)."))


@breaks(form.links_resolve, "no heading 'A-root'")
def anchor_to_nothing(example):
    example.notebook.cells.append(new_markdown_cell("See [there](#A-root)."))


@breaks(form.links_resolve, "no heading 'before-that'")
def anchor_in_lower_case(example):
    example.notebook.cells.append(new_markdown_cell("See [there](00_before.ipynb#before-that)."))


@breaks(form.links_resolve, "two headings")
def ambiguous_anchor(example):
    example.notebook.cells.append(new_markdown_cell("## A power"))


@breaks(form.links_resolve, "full https address")
def plain_http(example):
    example.notebook.cells.append(new_markdown_cell("See [there](http://example.org)."))


@breaks(form.pictures_have_alt_text, "no alt text")
def picture_without_alt(example):
    example.notebook.cells.append(new_markdown_cell("![](figures/01.svg)"))


@breaks(form.pictures_have_alt_text, "no alt text")
def html_picture_without_alt(example):
    example.notebook.cells.append(new_markdown_cell('<p><img src="figures/01.svg"></p>'))


@breaks(form.pictures_have_alt_text, "show.figure has no alt text")
def figure_without_alt(example):
    example.tagged("header-picture").source = "show.figure(figure)"


@breaks(form.pictures_have_alt_text, "show.figure has no alt text")
def figure_with_empty_alt(example):
    example.tagged("header-picture").source = 'show.figure(figure, alt="")'


@breaks(form.pictures_have_alt_text, "show.explore has no `alt=`")
def explorer_without_alt(example):
    example.containing("show.explore").source = "show.explore(powers, draw, factor=control)"


@breaks(form.plots_are_shown, "does not end with show.figure")
def figure_not_shown(example):
    cell = example.tagged("header-picture")
    cell.source = cell.source.partition("show.figure")[0]


@breaks(form.header_picture_is_fresh, "older than its code")
def stale_picture(example):
    example.containing("import numpy").source += "\nx = 1"


@breaks(form.header_picture_is_fresh, "is missing")
def missing_picture(example):
    (example.root / "notebooks" / "figures" / "01.svg").unlink()


@breaks(form.header_picture_is_fresh, "not an SVG")
def picture_of_another_kind(example):
    (example.root / "notebooks" / "figures" / "01.svg").write_text("a drawing")


@breaks(form.header_picture_is_fresh, "is the most")
def heavy_picture(example):
    (example.root / "notebooks" / "figures" / "01.svg").write_text("<svg>" + " " * 200_000)


@breaks(form.header_picture_is_fresh, "0 code cells are tagged")
def no_header_picture_cell(example):
    example.tagged("header-picture").metadata.tags = []


@breaks(form.claims_are_named, "does not begin with 01-")
def claim_of_another_chapter(example):
    cell = example.containing("01-tenth")
    cell.source = cell.source.replace("01-tenth", "02-tenth")


@breaks(form.claims_are_named, "stands twice")
def claim_twice(example):
    cell = example.containing("01-tenth")
    cell.source += "\n" + cell.source


@breaks(form.ledger_is_walked_through, "is not in its code")
def ledger_item_left_out(example):
    for cell in chapters.code_cells(example.notebook):
        cell.source = cell.source.replace("D1-1-C1", "")


@breaks(form.ledger_is_walked_through, "belongs to chapter 02")
def ledger_item_of_another_chapter(example):
    example.notebook.cells.append(new_markdown_cell("As D1-1-C2 says."))


@breaks(form.ledger_is_walked_through, "not in data/ledger.csv")
def ledger_item_that_is_none(example):
    example.containing("learn.sources").source = 'learn.sources("D1-1-C1", "D9-9-C9")'


@pytest.mark.parametrize(("rule", "message", "damage"), BROKEN)
def test_a_broken_chapter_is_caught(rule, message, damage, example):
    damage(example)
    assert any(message in problem for problem in example.problems(rule)), example.problems(rule)


def test_every_rule_has_a_negative_control():
    assert {parameter.values[0] for parameter in BROKEN} == set(form.RULES)


def test_other_ways_to_write_the_json_are_caught(example):
    text = chapters.canonical(example.notebook).replace(" ", "  ", 1)
    problems = list(form.is_canonical(form.Chapter(example.path, text, example.root)))
    assert any("not written as nbformat" in problem for problem in problems)


def test_a_map_needs_no_sources_no_exercises_and_no_size(example):
    notebook = example.notebook
    notebook.metadata.course.kind = "map"
    gone = ("learn.check", "learn.sources")
    notebook.cells = [
        cell for cell in notebook.cells if not any(word in cell.source for word in gone)
    ]
    for tag in ("sources", "exercises", "derive", "build", "check", "explore", "measure"):
        example.tagged(tag).metadata.tags = []
    notebook.metadata.course.figure.code_hash = chapters.code_hash(notebook)
    excused = {form.ledger_is_walked_through}
    assert not [p for rule in form.RULES if rule not in excused for p in example.problems(rule)]


def test_code_inside_math_and_code_spans_is_no_link(example):
    text = "Where $a_{[i]}(x)$ and `[a](b)` stand, nothing is linked."
    example.notebook.cells.append(new_markdown_cell(text))
    assert example.problems(form.links_resolve) == []


def test_a_figure_made_inside_a_function_is_shown_by_its_caller(example):
    example.containing("import numpy").source = "def blank():\n    return plt.figure()"
    assert example.problems(form.plots_are_shown) == []


def test_check_reads_what_git_would_commit(example):
    notebook = example.notebook
    cell = example.containing("import numpy")
    cell.outputs, cell.execution_count = [new_output("stream", text="2")], 7
    nbformat.write(notebook, example.path)
    assert form.check(example.path, example.root) == []


def test_the_code_hash_follows_the_code_and_not_the_prose(example):
    before = chapters.code_hash(example.notebook)
    example.tagged("derive").source += " again"
    assert chapters.code_hash(example.notebook) == before
    example.containing("import numpy").source += "\nx = 1"
    assert chapters.code_hash(example.notebook) != before
