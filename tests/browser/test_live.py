"""The live picture in a real JupyterLab: it follows a training, never flickers, and stays."""

import os

import pytest

from course_lib.commands import browsing

pytestmark = [pytest.mark.browser, pytest.mark.tensorflow]

SETUP = """\
import os
os.environ.pop("CI", None)  # as on a reader's own computer
os.environ.pop("COURSE_STRICT", None)
from course_lib.models import gradient_flow, training
from course_lib.models.networks import dense_stack
from course_lib import data, show
x, y, _, _ = data.load_digits()
model = dense_stack(4, 16, "relu", "he_normal")
monitor = gradient_flow.GradientMonitor(x[:64], y[:64], every=20)"""
TRAIN = """\
import time
from keras.callbacks import LambdaCallback
slowly = LambdaCallback(on_train_batch_end=lambda batch, logs=None: time.sleep(0.01))
following = show.live(monitor)
history = training.fit(model, x, y, steps=300, callbacks=[monitor, slowly])"""
QUIET = 'os.environ["CI"] = "1"\n' + TRAIN

# Looks at every frame of the page, from the first picture on: is it there, whole, of full size?
WATCH = """
() => {
  const parts = '.course-picture img, .jp-OutputArea-output figure img';
  window.seen = {frames: 0, blank: 0, pictures: 0, last: ''};
  const look = () => {
    const image = document.querySelector(parts);
    if (seen.frames || image?.naturalWidth) {
      seen.frames += 1;
      const whole = image?.complete && image.naturalWidth >= 700;
      if (!whole || image.getBoundingClientRect().height < 500) seen.blank += 1;
      if (image && image.src !== seen.last) { seen.pictures += 1; seen.last = image.src; }
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
ENDED = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells].at(-1).executionCount
"""


@pytest.mark.parametrize("theme", [browsing.LIGHT, browsing.DARK])
def test_it_follows_without_a_flicker_and_leaves_a_figure(theme, lab, chromium, notebook_of):
    import nbformat

    path = lab.notebooks / f"live_{theme.split()[-1]}.ipynb"
    nbformat.write(notebook_of(SETUP, TRAIN, "print('over')"), path)
    page = chromium.new_page(viewport={"width": 1250, "height": 1000})
    running = lab.open(page, path)
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.evaluate(WATCH)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ENDED, timeout=browsing.CELL_SECONDS * 1000)
    running.wait_until_idle()
    page.wait_for_timeout(500)
    seen = page.evaluate("window.seen")
    assert not running.errors()
    assert seen["pictures"] >= 3  # two that moved, at least, and the one that stays
    assert seen["frames"] > 20
    assert seen["blank"] == 0
    image = page.locator(".jp-OutputArea-output figure img")
    assert image.count() == 1
    assert image.get_attribute("alt").startswith("The gradient by layer at step 300 of a training")
    assert page.locator(".course-picture").count() == 0
    kept = [list(output["data"]) for output in running.cells()[1]["outputs"]]
    assert "image/png" in kept[0]
    assert "widget" not in str(kept)
    if folder := os.environ.get("COURSE_SHOTS"):  # to be looked at
        page.screenshot(path=f"{folder}/live_{theme.split()[-1]}.png")
    running.shut_down()
    page.close()


def test_in_ci_only_the_figure_appears(open_notebook, notebook_of):
    with open_notebook("live_quiet", notebook_of(SETUP, QUIET)) as running:
        assert not running.errors()
        outputs = running.cells()[1]["outputs"]
        assert [list(output["data"]) for output in outputs] == [
            ["text/html", "image/png", "text/plain"]
        ]
        assert "step 300 of a training" in "".join(outputs[0]["data"]["text/plain"])
