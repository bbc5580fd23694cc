"""One matplotlib figure that is drawn again and again, and only where it has changed.

Drawing axes, ticks and labels costs 20 to 200 ms, drawing a line that has moved about 1 ms. So the
figure's still part is drawn once and kept (the background), and each new picture is a copy of it
with the moving artists on top. matplotlib itself says which artists move: setting anything on an
artist marks it stale and tells its axes and its figure, unless the artist is *animated*. So

- an artist found stale after an update is a mover, and is made animated from then on;
- a figure that is stale although its movers are animated has changed in its still part (limits,
  ticks, a legend, a new artist), and its background is drawn again.
"""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.spines import Spine
from matplotlib.text import Text
from numpy.typing import NDArray

from course_lib.show.style import PIXELS_PER_INCH

Pixels = NDArray[np.uint8]


@dataclass
class Sheet:
    """The pixels of one resolution, and its kept background."""

    renderer: RendererAgg
    other: RendererAgg | None = None  # the yardstick's; kept, for it remembers how wide a text is
    background: object = None
    title_heights: dict[Text, float] = field(default_factory=dict)


class Canvas:
    """Turn a figure into pixels, again and again, as cheaply as its changes allow.

    Parameters
    ----------
    figure : Figure
        The figure, with its axes and artists made.

    Attributes
    ----------
    full_draws, blits : int
        How many pictures needed the background drawn again, and how many did not.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.full_draws = self.blits = 0
        self._sheets: dict[float, Sheet] = {}
        if not isinstance(figure.canvas, FigureCanvasAgg):
            FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # lays the axes out, and marks everything as drawn
        figure.set_layout_engine("none")  # from here on they stay where they are
        for title in _titles(figure):
            title.set_animated(True)  # a title states the finding, so it will change
        figure.stale = True

    def pixels(self, ratio: float = 1.0) -> Pixels:
        """Return the picture as it is now, shape (height, width, 4), RGBA.

        Parameters
        ----------
        ratio : float
            Pixels per CSS pixel: 1 on an ordinary screen, 2 on a fine one.
        """
        for axes in self.figure.axes:
            axes.viewLim  # noqa: B018 -- asking for them settles limits that autoscaling left open
        if self.figure.stale:
            self._find_movers()
            for known in self._sheets.values():
                known.background = None
        sheet = self._sheet(ratio)
        if sheet.background is None:
            self.full_draws += 1
            self._draw_background(sheet)
        else:
            self.blits += 1
            sheet.renderer.restore_region(sheet.background)
        self._draw_movers(sheet)
        self.figure.stale = False
        return np.asarray(sheet.renderer.buffer_rgba())

    def redrawn(self, ratio: float = 1.0) -> Pixels:
        """Return the same picture with nothing kept: the yardstick that tests hold `pixels` to.

        It is drawn on a sheet of its own, so the next `pixels` begins with what it had kept.
        """
        animated = [artist for artist in _everything(self.figure) if artist.get_animated()]
        for artist in animated:
            artist.set_animated(False)
        sheet = self._sheet(ratio)
        if sheet.other is None:
            sheet.other = RendererAgg(sheet.renderer.width, sheet.renderer.height, self.figure.dpi)
        renderer = sheet.other
        renderer.clear()
        self.figure.draw(renderer)
        for artist in animated:
            artist.set_animated(True)
        return np.array(renderer.buffer_rgba())

    def _sheet(self, ratio: float) -> Sheet:
        dpi = PIXELS_PER_INCH * ratio
        if self.figure.dpi != dpi:
            self.figure.dpi = dpi
        width, height = (round(inches * dpi) for inches in self.figure.get_size_inches())
        sheet = self._sheets.get(ratio)
        if sheet is None or (sheet.renderer.width, sheet.renderer.height) != (width, height):
            # Each zoom of the page has its own: keep that of the moving slider and the last one.
            self._sheets = {kept: self._sheets[kept] for kept in self._sheets if kept == 1.0}
            sheet = self._sheets[ratio] = Sheet(RendererAgg(width, height, dpi))
        return sheet

    def _find_movers(self) -> None:
        """Make every artist that was touched animated, and whatever is drawn above one."""
        moving: list[Axes] = []
        for axes in _in_order(self.figure.axes):
            if any(_overlap(axes, below) for below in moving):
                axes.set_animated(True)
            movers = [
                artist
                for artist in _in_order(axes.get_children())
                if isinstance(artist, Artist) and not _is_still(artist, axes)
            ]
            lowest = next((i for i, artist in enumerate(movers) if _moves(artist, axes)), None)
            if lowest is not None:
                moving.append(axes)
                for artist in movers[lowest:]:
                    artist.set_animated(True)
        for artist in self.figure.get_children():
            if artist.stale and not isinstance(artist, Axes) and artist is not self.figure.patch:
                artist.set_animated(True)

    def _draw_background(self, sheet: Sheet) -> None:
        sheet.renderer.clear()
        self.figure.draw(sheet.renderer)
        sheet.background = sheet.renderer.copy_from_bbox(self.figure.bbox)
        sheet.title_heights = {title: title.get_position()[1] for title in _titles(self.figure)}
        for artist in _everything(self.figure):
            artist.stale = False  # empty and hidden ones are skipped by matplotlib, and stay stale

    def _draw_movers(self, sheet: Sheet) -> None:
        for title, height in sheet.title_heights.items():
            if title.get_position()[1] != height:  # set_title puts it back to its first height
                title.set_y(height)
        for artist in _in_order(self.figure.get_children()):
            if artist.get_animated():
                artist.draw(sheet.renderer)
            if isinstance(artist, Axes) and artist.get_visible():
                framed = artist.axison and artist.get_frame_on()
                for child in _in_order(artist.get_children()):
                    if child.get_animated() and (framed or not isinstance(child, Spine)):
                        child.draw(sheet.renderer)


def _in_order(artists: list) -> list:
    """Return artists in the order in which matplotlib draws them."""
    return sorted(artists, key=lambda artist: artist.get_zorder())


def _is_still(artist: Artist, axes: Axes) -> bool:
    """Tell whether an artist always belongs to the background: the axes' paper and their ticks."""
    return artist is axes.patch or isinstance(artist, Axis)


def _moves(artist: Artist, axes: Axes) -> bool:
    """Tell whether an artist has been touched, now or before.

    Titles stand outside the axes, so nothing has to be drawn above them; spines, legends and inset
    axes are touched by what they stand for, and are drawn again with the background.
    """
    if isinstance(artist, (Spine, Legend, Axes)) or artist in _axes_titles(axes):
        return False
    return artist.stale or artist.get_animated()


def _axes_titles(axes: Axes) -> tuple[Text, ...]:
    titles = (axes.title, getattr(axes, "_left_title", None), getattr(axes, "_right_title", None))
    return tuple(title for title in titles if title is not None)


def _titles(figure: Figure) -> list[Text]:
    return [title for axes in figure.axes for title in _axes_titles(axes)]


def _overlap(one: Axes, other: Axes) -> bool:
    return one.bbox.overlaps(other.bbox)


def _everything(figure: Figure) -> list[Artist]:
    return [figure, *figure.findobj(include_self=False)]
