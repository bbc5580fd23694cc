"""A question on the page: buttons to choose from, or a field for a number.

Native form elements, so that keyboard and screen reader work as everywhere: a fieldset with the
question as its legend, buttons, a labelled field, and a status line that is read out.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

from course_lib.checks import inline
from course_lib.learn import page

ESM = """
function render({ model, el }) {
  const choices = model.get("choices");
  const form = document.createElement("form");
  form.className = "course-question";
  form.innerHTML = `<fieldset><legend></legend><div class="answers"></div>
    <div role="status" aria-live="polite"></div></fieldset>`;
  form.querySelector("legend").innerHTML = model.get("question");
  const answers = form.querySelector(".answers");
  const status = form.querySelector("[role=status]");

  const give = (answer) => { model.set("answer", answer); model.save_changes(); };
  let field;
  const buttons = choices.map((choice, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = choice;
    button.addEventListener("click", () => give(i));
    answers.append(button);
    return button;
  });
  if (!choices.length) {
    const label = document.createElement("label");
    field = document.createElement("input");
    field.type = "text";
    field.inputMode = "decimal";
    field.autocomplete = "off";
    label.append(model.get("label") + " ", field, " " + model.get("unit"));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;  // JupyterLab keeps Enter from submitting a form
      event.preventDefault();
      event.stopPropagation();
      give(field.value);
    });
    const button = document.createElement("button");
    button.textContent = "Commit";
    answers.append(label, button);
  }
  for (const control of form.querySelectorAll("button, input")) {
    control.setAttribute("data-lm-suppress-shortcuts", "true");  // keys that JupyterLab would take
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field) give(field.value);
  });

  const update = () => {
    const answer = model.get("answer");
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === answer)));
    if (field && answer !== null && document.activeElement !== field) field.value = answer;
    status.innerHTML = model.get("status");
  };
  model.on("change:answer", update);
  model.on("change:status", update);
  update();
  el.append(form);
  return () => { model.off("change:answer", update); model.off("change:status", update); };
}
export default { render };
"""

CSS = """
.course-question { color: var(--jp-content-font-color1, inherit); line-height: 1.5;
  font-family: var(--jp-content-font-family, inherit);
  font-size: var(--jp-content-font-size1, inherit); }
.course-question fieldset { border: 1px solid #8a8a8a; border-radius: 4px; margin: .4em 0;
  padding: .2em 1em .7em; min-width: 0; }
.course-question legend { padding: 0 .4em; max-width: 100%; white-space: normal; font: inherit;
  color: inherit; width: auto; border: 0; }
.course-question .answers { display: flex; flex-wrap: wrap; gap: .5em; align-items: baseline; }
.course-question button, .course-question input { font: inherit; color: inherit;
  background: transparent; border: 1px solid #8a8a8a; border-radius: 4px; padding: .25em .8em;
  min-height: 2em; text-align: left; }
.course-question button { cursor: pointer; }
.course-question input { width: 9em; }
.course-question button:hover { border-color: currentColor; }
.course-question button[aria-pressed=true] { border: 2px solid currentColor; font-weight: bold; }
.course-question button[aria-pressed=true]::before { content: "● "; }
.course-question :is(button, input):focus-visible { outline: 2px solid #0072B2;
  outline-offset: 2px; box-shadow: 0 0 0 2px #fff; }
"""


class Question(anywidget.AnyWidget):
    """A question with choices (the answer is an index), or with a field (the answer is a text)."""

    _esm = ESM
    _css = CSS
    question = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    label = traitlets.Unicode("Your prediction:").tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Any(None, allow_none=True).tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)

    def __init__(self, question: str, *, choices: Sequence[str] = (), unit: str = "") -> None:
        super().__init__(
            question=inline(question),
            choices=[inline(choice) for choice in choices],
            unit=unit,
        )
        self._plain = (question, list(choices))

    def on_answer(self, callback: Callable[[Any], None]) -> None:
        """Call `callback(answer)` at each new answer."""
        self.observe(lambda change: callback(change["new"]), "answer")

    def say(self, kind: str, sentence: str) -> None:
        """Put a sentence into the status line; `kind` is a key of `page.KINDS`."""
        self.status = page.line_html(kind, sentence)

    def show(self) -> None:
        """Display the question; where no widget can be shown, its text."""
        question, choices = self._plain
        plain = "\n".join([question, *(f"  ( ) {choice}" for choice in choices)])
        listed = "".join(f"<li>{html.escape(choice)}</li>" for choice in choices)
        static = f"<p>{inline(question)}</p>" + (f"<ul>{listed}</ul>" if listed else "")
        page.display_both(static, plain, widget=self)
