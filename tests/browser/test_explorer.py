"""One explorer in a real JupyterLab: what a reader sees, hears, and does with the keys."""

import re

import numpy as np
import pytest

from course_lib.commands import browsing
from course_lib.show import encoding

pytestmark = pytest.mark.browser

SOURCE = """\
import numpy as np
from course_lib import show

def compute(depth, scale, kind):
    if scale > 9:
        raise ValueError("`scale` is 10; it takes less")
    layers = np.arange(depth + 1.0)
    return {"layers": layers, "height": layers * np.log10(scale), "kind": kind}

def draw(figure):
    axes = show.gradient_axes(figure.add_subplot(), distance=60, decades=(-130, 70))
    (line,) = axes.plot([], [], marker="o", label="relu")
    names = show.label_ends(axes)
    def update(arrays):
        line.set_data(arrays["layers"], arrays["height"])
        names.set_names([arrays["kind"]])
        axes.set_title(f"It ends at {arrays['height'][-1]:.2f}")
    return update

explorer = show.explore(
    compute, draw,
    alt=lambda a: f"{len(a['layers']) - 1} layers of {a['kind']} end at {a['height'][-1]:.2f}.",
    presets={"deep": {"depth": 60}},
    depth=show.integers("depth D", 1, 60, 10),
    scale=show.log_slider("weight scale, 1/√n", -2, 1, 0.1),
    kind=show.choice("activation φ", ["relu", "sigmoid"]),
)
explorer"""
FIGURE = """\
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2])
figure.set_size_inches(7, 3.5)
show.figure(figure, alt='A line from 1 to "2".', caption="drawn once")"""

# Looks at the picture at every frame while it moves: is it there, whole, and of full size?
WATCH = """
image => {
  window.courseBlank = 0;
  window.courseFrames = 0;
  const look = () => {
    window.courseFrames += 1;
    if (!image.isConnected || !image.complete || image.naturalWidth < 700) window.courseBlank += 1;
    if (image.getBoundingClientRect().height < 340) window.courseBlank += 1;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


def here(**values):
    """Return the bytes of the sharp picture of the same explorer, made in this process."""
    names = {}
    exec(SOURCE, names)
    return encoding.png(names["explorer"].set(**values).image)


@pytest.fixture(scope="module")
def running(open_notebook, notebook_of):
    with open_notebook("explorer", notebook_of(SOURCE, FIGURE)) as opened:
        assert not opened.errors()
        yield opened


@pytest.fixture
def explorer(running):
    """Give the explorer as it was at first."""
    (found,) = running.explorers()
    found.root.get_by_role("button", name="Reset").click()
    running.wait_until_idle()
    running.page.wait_for_timeout(300)
    found.wait_until_sharp()
    return found


def handle(explorer, name):
    return explorer.root.get_by_role("slider", name=name)


def test_the_first_picture_is_there_and_sharp(explorer):
    assert explorer.alt == "10 layers of relu end at -10.00."
    assert explorer.pixels() == here()
    assert explorer.picture.get_attribute("role") == "img"


def test_a_finished_figure_has_its_alt_text_in_the_page(running):
    image = running.page.get_by_role("img", name='A line from 1 to "2".')
    assert image.count() == 1
    assert image.evaluate("image => [image.naturalWidth, image.width]") == [1400, 700]
    assert running.page.locator("figcaption").inner_text() == "drawn once"


def test_sliders_have_names_and_say_their_values(explorer):
    depth, scale = handle(explorer, "depth D"), handle(explorer, "weight scale, 1/√n")
    assert depth.get_attribute("aria-valuetext") == "10"
    assert scale.get_attribute("aria-valuetext") == "0.100"  # and not its exponent, -1
    explorer.press(scale, "ArrowRight")
    assert scale.get_attribute("aria-valuetext") == "0.112"
    assert explorer.root.get_by_role("combobox", name="activation φ").count() == 1
    for readout in explorer.root.locator(".widget-readout").all():
        assert readout.get_attribute("aria-label").endswith("typed")


def test_a_moving_slider_gets_jpeg_and_a_resting_one_png(explorer):
    explorer.press(handle(explorer, "depth D"), "ArrowRight")
    kinds = set()
    for _ in range(12):
        explorer.press(handle(explorer, "depth D"), "ArrowRight")
        kinds.add(explorer.pixels()[:2])
    assert b"\xff\xd8" in kinds
    explorer.wait_until_sharp()
    assert explorer.pixels()[1:4] == b"PNG"
    assert explorer.alt == "23 layers of relu end at -23.00."


def test_twenty_quick_steps_end_in_the_last_picture(explorer):
    handle(explorer, "depth D").focus()
    for _ in range(20):
        explorer.notebook.page.keyboard.press("ArrowRight")
    explorer.wait_for_alt("30 layers of relu end at -30.00.")
    explorer.wait_until_sharp()
    assert explorer.pixels() == here(depth=30)


def test_nothing_flickers_while_it_moves(explorer):
    page = explorer.notebook.page
    explorer.picture.evaluate(WATCH)
    handle(explorer, "depth D").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(20)
    explorer.wait_for_alt("40 layers of relu end at -40.00.")
    assert page.evaluate("window.courseFrames") > 10
    assert page.evaluate("window.courseBlank") == 0


def test_a_problem_is_one_sentence_over_the_dimmed_picture_and_passes(explorer):
    scale, before = handle(explorer, "weight scale"), explorer.alt
    scale.focus()
    scale.press("End")
    explorer.wait_for_problem()
    said = "No picture for depth = 10, scale = 10, kind = relu: `scale` is 10; it takes less."
    assert explorer.problem == said
    assert explorer.root.get_by_role("alert").count() == 1
    assert float(explorer.picture.evaluate("i => getComputedStyle(i).opacity")) < 0.5
    assert explorer.alt == before
    explorer.press(scale, "ArrowLeft", times=3)
    explorer.wait_until_sharp()
    assert explorer.problem == ""
    assert float(explorer.picture.evaluate("i => getComputedStyle(i).opacity")) == 1
    assert explorer.alt == "10 layers of relu end at 8.50."
    assert not explorer.notebook.errors()


def test_buttons_and_choices_work_by_keyboard(explorer):
    deep = explorer.root.get_by_role("button", name="deep")
    deep.focus()
    deep.press("Enter")
    explorer.wait_for_alt("60 layers of relu end at -60.00.")
    choice = explorer.root.get_by_role("combobox", name="activation φ")
    choice.focus()
    choice.press("ArrowDown")
    explorer.wait_for_alt("60 layers of sigmoid end at -60.00.")


def test_the_finding_is_read_out_when_the_slider_rests(explorer):
    explorer.press(handle(explorer, "depth D"), "ArrowRight")
    explorer.wait_until_sharp()
    spoken = explorer.root.locator(".course-spoken")
    assert spoken.get_attribute("role") == "status"
    assert spoken.text_content() == "11 layers of relu end at -11.00."


def test_a_fine_screen_gets_a_fine_picture_at_rest(open_notebook, notebook_of):
    with open_notebook("fine", notebook_of(SOURCE), device_scale_factor=2) as running:
        (explorer,) = running.explorers()
        explorer.wait_until_fine(1400)
        explorer.press(handle(explorer, "depth D"), "ArrowRight")
        size = "image => [image.naturalWidth, image.width, image.height]"
        assert explorer.picture.evaluate(size)[1:] == [700, 350]
        explorer.wait_until_fine(1400)
        assert explorer.picture.evaluate(size) == [1400, 700, 350]


@pytest.mark.parametrize("theme", [browsing.LIGHT, browsing.DARK])
def test_words_can_be_read_in_both_themes(explorer, theme):
    page = explorer.notebook.page
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    color = "e => getComputedStyle(e).color"
    paper = page.evaluate("() => getComputedStyle(document.body).getPropertyValue('color-scheme')")
    background = page.locator(".jp-Notebook").first.evaluate(
        "e => getComputedStyle(e).backgroundColor"
    )
    for part in explorer.root.locator(".widget-label, .widget-readout, button").all():
        own = part.evaluate("e => getComputedStyle(e).backgroundColor")
        behind = background if own.endswith(", 0)") else own
        assert contrast(part.evaluate(color), behind) > 4.5, (theme, paper, part.inner_text())


def contrast(one, other):
    """Return the contrast of two CSS colours, 1 to 21 (WCAG)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    channels = np.array([float(number) for number in re.findall(r"[\d.]+", color)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_nothing_is_asked_of_the_network(lab, chromium, notebook_of):
    import nbformat

    path = lab.notebooks / "offline.ipynb"
    nbformat.write(notebook_of(SOURCE), path)
    page, asked = chromium.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    running = lab.open(page, path)
    running.run_all()
    (explorer,) = running.explorers()
    explorer.press(handle(explorer, "depth D"), "ArrowRight")
    running.shut_down()
    page.close()
    assert asked
    ours = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|blob:|data:")
    assert not [url for url in asked if not ours.match(url)]
