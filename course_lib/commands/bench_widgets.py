"""How long from a key press to the new picture, as a multiple of what any slider takes.

The floor is a bare slider whose value the kernel writes into a label: it pays for the page, the
server and the kernel, and for nothing else. An explorer pays for its computation, drawing, encoding
and decoding besides. Both are measured in the same page, taking turns, a few key presses at a time;
the usual way, `interact` with a new figure each time, is timed beside them.

A press is timed in the page, from the event to the frame that shows what followed from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from course_lib.commands import browsing, chapters, excerpt
from course_lib.commands.browser import find_browser
from course_lib.commands.browsing import Lab, Notebook

MEDIAN_BOUND, SINGLE_BOUND = 3.0, 4.0
BURSTS, PRESSES, USUAL_PRESSES = 10, 5, 2
REST_SECONDS = 0.6  # after a burst the explorer asks for its sharp picture; let it have it

# Called before each press; the page then holds a promise of the milliseconds it took.
ARM = """
([handle, target, kind]) => {
  handle.focus({ preventScroll: true });
  const before = target.querySelector("img");
  window.coursePress = new Promise((resolve, reject) => {
    let start = null;
    const begin = () => { start = performance.now(); };
    document.addEventListener("keydown", begin, { capture: true, once: true });
    const shown = () => requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => resolve(performance.now() - start);
      after.port2.postMessage(null);
    });
    const seen = new MutationObserver(async () => {
      if (kind === "usual") {
        const image = target.querySelector("img");
        if (!image || image === before) return;
        seen.disconnect();
        await image.decode();
      }
      seen.disconnect();
      shown();
    });
    const whole = { subtree: true, childList: true, characterData: true };
    const frame = { attributes: true, attributeFilter: ["data-frame"] };
    seen.observe(target, kind === "explorer" ? frame : whole);
    setTimeout(() => reject(new Error("nothing followed from the key press")), 60000);
  });
}
"""

# What the kernel adds at the end of a chapter: the floor, and each explorer the usual way.
FLOOR = """
import ipywidgets
_slider, _label = ipywidgets.IntSlider(500, 0, 1000), ipywidgets.Label("500")
_slider.observe(lambda change: setattr(_label, "value", str(change["new"])), "value")
_floor = ipywidgets.VBox([_slider, _label])
_floor.add_class("course-floor")
_floor
"""
RECORD = """
from course_lib import show as _show
from course_lib.commands import bench_widgets as _bench
_show.explore, _explorers = _bench.recording(_show.explore)
"""
USUAL = "_bench.usual_way(_explorers[{number}])"


@dataclass
class Timing:
    """What was measured for one explorer, in milliseconds; `floor` is that of the same minutes."""

    name: str
    floor: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    sliders: dict[str, list[float]] = field(default_factory=dict)

    @property
    def slowest(self) -> str:
        """The label of the slider that takes longest."""
        return max(self.sliders, key=lambda label: median(self.sliders[label]))

    @property
    def ratio(self) -> float:
        """The slowest slider's median as a multiple of the floor's."""
        return median(self.sliders[self.slowest]) / median(self.floor)

    @property
    def usual_ratio(self) -> float:
        """The same for `interact`."""
        return median(self.usual) / median(self.floor)

    def __str__(self) -> str:
        label = self.slowest
        every = sorted(self.sliders[label])
        late = every[min(len(every) - 1, round(0.95 * len(every)))]
        return (
            f"{self.name}, `{label}`: {median(every):.0f} ms (95 %: {late:.0f}), "
            f"{self.ratio:.2f} x the floor of {median(self.floor):.0f} ms"
            + (f"; with interact {self.usual_ratio:.1f} x" if self.usual else "")
        )


def report() -> Iterator[str]:
    """Yield one line for each explorer of the course, and the verdicts on all of them."""
    if find_browser() is None:
        yield "not measured: there is no Chromium, Chrome or Edge on this computer"
        return
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        browsing.copy_course(chapters.ROOT, folder)
        data = str(folder / "data")
        with browsing.jupyterlab(folder, COURSE_DATA=data) as lab, browsing.chromium() as web:
            for path in chapters.all_chapters():
                notebook = chapters.parse(path.read_text(encoding="utf-8"))
                try:
                    measured = measure(lab, web, notebook, path.stem)
                except RuntimeError as problem:
                    yield f"not measured: {problem}"
                    continue
                timings += measured
                yield from map(str, measured)
    if not timings:
        yield "there is no chapter with an explorer yet"
        return
    ratios = [timing.ratio for timing in timings]
    for what, ratio, bound in (
        ("median over all explorers", median(ratios), MEDIAN_BOUND),
        ("the slowest of them", max(ratios), SINGLE_BOUND),
    ):
        mark = "" if ratio <= bound else "  MORE THAN AIMED AT"
        yield f"{what}: {ratio:.2f} x the floor (aim: at most {bound:g} x){mark}"
    yield f"with interact: {median(timing.usual_ratio for timing in timings):.1f} x the floor"


def measure(
    lab: Lab, browser: Any, notebook: Any, name: str, *, bursts: int = BURSTS, fine: bool = False
) -> list[Timing]:
    """Return the timings of every explorer with a slider in a notebook.

    Parameters
    ----------
    lab : Lab
        A running JupyterLab.
    browser : playwright Browser
    notebook : nbformat notebook
        Its explorers are run with what they need of the other cells.
    name : str
        What the timings call it.
    bursts : int
        How many turns each slider gets, of `PRESSES` presses each.
    fine : bool
        Whether the page has two pixels per CSS pixel.

    Raises
    ------
    RuntimeError
        If a cell fails.
    """
    path = lab.notebooks / f"{name}_timed.ipynb"
    path.write_text(chapters.canonical(with_yardsticks(notebook)), encoding="utf-8")
    view = {"width": 1280, "height": 1000}
    page = browser.new_page(viewport=view, device_scale_factor=2 if fine else 1)
    try:
        opened = lab.open(page, path)
        opened.run_all(seconds=600)
        if errors := opened.errors():
            raise RuntimeError(f"{name} does not run: {errors[0]}")
        sliders = [len(explorer.handles) for explorer in opened.explorers()]
        timings = [_time(opened, i, name, bursts) for i, count in enumerate(sliders) if count]
        opened.shut_down()
        return timings
    finally:
        page.close()


def recording(explore: Any) -> tuple[Any, list[Any]]:
    """Return `explore` as a function that also notes what it made, and the list of its notes."""
    made: list[Any] = []

    def explore_and_note(*arguments: Any, **keywords: Any) -> Any:
        made.append(explore(*arguments, **keywords))
        return made[-1]

    return explore_and_note, made


def usual_way(explorer: Any) -> Any:
    """Show what an explorer shows in the way of most tutorials: a new figure for each value."""
    import matplotlib.pyplot as plt
    from ipywidgets import interactive

    def draw(**values: Any) -> None:
        figure = plt.figure(figsize=explorer.figsize)
        explorer.draw(figure)(explorer.compute(**values))
        plt.show()

    controls = {name: control.widget() for name, control in explorer.descriptions.items()}
    widget = interactive(draw, **controls)
    widget.add_class("course-usual")
    return widget


def with_yardsticks(notebook: Any) -> Any:
    """Return the explorers of a notebook with what they need, then the floor and `interact`."""
    from nbformat.v4 import new_code_cell, new_notebook

    cells = excerpt.needed(notebook.cells, lambda cell: excerpt.calls(cell, "show.explore"))
    explorers = sum(cell.source.count("show.explore(") for cell in cells)
    first, last = new_code_cell(RECORD), [new_code_cell(FLOOR)]
    last += [new_code_cell(USUAL.format(number=number)) for number in range(explorers)]
    return new_notebook(cells=[first, *cells, *last], metadata=notebook.metadata)


def _time(notebook: Notebook, number: int, name: str, bursts: int) -> Timing:
    """Let the sliders of one explorer, the floor and `interact` take turns."""
    page, timing = notebook.page, Timing(f"{name}, explorer {number + 1}")
    explorer = notebook.explorers()[number]
    floor = page.locator(".course-floor")
    usual = page.locator(".course-usual").nth(number)
    for burst in range(bursts):
        for handle in explorer.handles:
            target = explorer.root.locator(".course-picture")
            label = handle.get_attribute("aria-label") or "slider"
            times = _press(page, handle, target, "explorer", PRESSES)
            timing.sliders.setdefault(label, []).extend(times)
            page.wait_for_timeout(REST_SECONDS * 1000)
            bare = floor.locator(".noUi-handle")
            timing.floor += _press(page, bare, floor.locator(".widget-label").last, "", PRESSES)
        if burst % 2 == 0:
            output = usual.locator(".jp-OutputArea")
            handle = usual.locator(".noUi-handle").first
            timing.usual += _press(page, handle, output.first, "usual", USUAL_PRESSES)
    return timing


def _press(page: Any, handle: Any, target: Any, kind: str, times: int) -> list[float]:
    """Press an arrow key on a slider's handle; return the milliseconds until each is shown."""
    target.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    place = [handle.element_handle(), target.element_handle(), kind]
    taken = []
    for key in _keys(handle, times):
        page.evaluate(ARM, place)
        page.keyboard.press(key)
        taken.append(float(page.evaluate("() => window.coursePress")))
    return taken


def _keys(handle: Any, times: int) -> Iterable[str]:
    """Return as many arrow keys, away from the end that the slider is nearer to."""
    low, high, now = (
        float(handle.get_attribute(f"aria-value{which}") or 0) for which in ("min", "max", "now")
    )
    return ["ArrowRight" if now < (low + high) / 2 else "ArrowLeft"] * times
