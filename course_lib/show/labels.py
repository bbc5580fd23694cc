"""Names at the ends of lines, instead of a legend, that keep out of each other's way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from course_lib.show.style import COLORS

SIZE = 10.0  # points
GAP = 1.3 * SIZE  # points from one name to the next
OFFSET = 6.0  # points from the end of the line


class EndLabels(Artist):
    """The names of some lines, each at the line's right end, placed whenever they are drawn.

    Parameters
    ----------
    lines : sequence of Line2D
    names : sequence of str
        One a line; an empty one is not written.
    """

    def __init__(self, lines: Sequence[Line2D], names: Sequence[str]) -> None:
        super().__init__()
        self.lines: list[Line2D] = []
        self.texts: list[Text] = []
        for line, name in zip(lines, names, strict=True):
            self.add(line, name)
        self.set_zorder(4)
        self.set_clip_on(False)  # they stand outside the axes, and the layout leaves them room

    def add(self, line: Line2D, name: str) -> None:
        """Take in one more line."""
        text = Text(0, 0, name, fontsize=SIZE, color=COLORS["ink"], va="center")
        if self.figure is not None:
            text.set_figure(self.figure)
        self.lines.append(line)
        self.texts.append(text)
        self.stale = True

    def set_names(self, names: Sequence[str]) -> None:
        """Write other names, one a line."""
        for text, name in zip(self.texts, names, strict=True):
            text.set_text(name)
        self.stale = True

    def set_figure(self, fig: Any) -> None:
        """Take the texts along when the axes take the artist in."""
        super().set_figure(fig)
        for text in self.texts:
            text.set_figure(fig)

    def draw(self, renderer: RendererBase) -> None:
        """Place the names and draw them."""
        if self.get_visible():
            for text in self._place(renderer):
                text.draw(renderer)
        self.stale = False

    def get_tightbbox(self, renderer: RendererBase | None = None) -> Bbox | None:
        """Return the room that the names take, for the layout."""
        if renderer is None or not self.get_visible():
            return None
        boxes = [text.get_window_extent(renderer) for text in self._place(renderer)]
        return Bbox.union(boxes) if boxes else None

    def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:
        """Return the room that the names take, in pixels."""
        return self.get_tightbbox(renderer) or Bbox.null()

    def _place(self, renderer: RendererBase) -> list[Text]:
        """Put each name beside the last point of its line; return those that have one."""
        placed, ends = [], []
        for line, text in zip(self.lines, self.texts, strict=True):
            end = _last_point(line)
            if end is not None and text.get_text():
                placed.append(text)
                ends.append(end)
        if not placed:
            return []
        pixels = float(renderer.points_to_pixels(1.0))  # type: ignore[arg-type]
        x, y = np.array(ends).T
        assert self.axes is not None  # an artist is drawn by its axes
        box = self.axes.bbox
        y = spread(np.clip(y, box.ymin, box.ymax), GAP * pixels, box.ymin, box.ymax)
        for text, left, height in zip(placed, x, y, strict=True):
            text.set_position((left + OFFSET * pixels, height))
        return placed


def _last_point(line: Line2D) -> NDArray[np.float64] | None:
    """Return the last finite point of a line in pixels, or None if it shows nothing."""
    if not line.get_visible():
        return None
    points = line.get_transform().transform(np.ma.filled(np.ma.asarray(line.get_xydata()), np.nan))
    finite = points[np.isfinite(points).all(axis=1)]
    return finite[-1] if len(finite) else None


def spread(
    heights: NDArray[np.float64], gap: float, low: float, high: float
) -> NDArray[np.float64]:
    """Return heights at least `gap` apart, as near to the given ones as that allows.

    Names that would overlap form a group around their mean; a group that meets another joins it.
    Groups stay between `low` and `high` if there is room.

    Parameters
    ----------
    heights : array of shape (n,)
    gap, low, high : float
        All in the same unit.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []  # [lowest height, number of names]
    for height in heights[order]:
        groups.append([float(height), 1])
        while True:
            bottom, count = groups[-1]
            top_most = max(high - (count - 1) * gap, low)
            bottom = groups[-1][0] = min(max(bottom, low), top_most)
            if len(groups) < 2:
                break
            below, below_count = groups[-2]
            if bottom - (below + (below_count - 1) * gap) >= gap:
                break
            middle = below + (below_count - 1) * gap / 2, bottom + (count - 1) * gap / 2
            total = below_count + count
            mean = (middle[0] * below_count + middle[1] * count) / total
            groups[-2:] = [[mean - (total - 1) * gap / 2, total]]
    result = np.empty(len(heights))
    result[order] = [bottom + i * gap for bottom, count in groups for i in range(int(count))]
    return result
