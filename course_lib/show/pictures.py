"""Finished figures with their alt text; heat maps, and labels at the ends of lines."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show import encoding
from course_lib.show.labels import EndLabels
from course_lib.show.style import COLORS, PIXELS_PER_INCH, house_style

MOST_NUMBERS = 80  # cells of a heat map that still say their number
PRINT_RATIO = 2  # pixels per CSS pixel of a finished figure: sharp on fine screens and in print


def figure(figure: Figure, alt: str, caption: str | None = None) -> None:
    """Show a finished figure below its cell, with alt text, and close it.

    Parameters
    ----------
    figure : matplotlib Figure
        The figure, finished.
    alt : str
        What it shows and its finding, with numbers, for who cannot see it.
    caption : str, optional
        A line below the picture, for what alt text cannot carry ("recorded on ...").

    Raises
    ------
    TypeError, ValueError
        If it is no figure, or the alt text is empty.
    """
    checks.instance("figure", figure, Figure, "a matplotlib figure")
    checks.instance("alt", alt, str, "a sentence that says what the picture shows")
    if not alt.strip():
        raise ValueError("`alt` is empty; it takes a sentence that says what the picture shows.")
    if caption is not None:
        checks.instance("caption", caption, str, "a line of text")
    data, metadata = figure_bundle(figure, alt, caption)
    display(data, raw=True, metadata=metadata)
    _close(figure)


def figure_bundle(
    figure: Figure, alt: str, caption: str | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a notebook's output holds of a finished figure: its data, and their metadata."""
    with house_style():
        picture = _png(figure)
    width, height = (round(side * PIXELS_PER_INCH) for side in figure.get_size_inches())
    data = {
        "text/html": _figure_html(picture, alt, caption, width),
        "image/png": encoding.base64_text(picture),
        "text/plain": f"[Picture: {alt}]" + (f"\n{caption}" if caption else ""),
    }
    return data, {"image/png": {"alt": alt, "width": width, "height": height}}


def label_ends(axes: Axes) -> EndLabels:
    """Write each line's label at its right end, instead of a legend, and keep the labels apart.

    The labels follow when the lines move: they find their places whenever they are drawn.

    Parameters
    ----------
    axes : Axes
        Its lines have been given `label=`; lines without one get none.

    Raises
    ------
    TypeError, ValueError
        If these are no axes, or no line on them has a label.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    if not lines:
        raise ValueError("`axes` has no line with a label; it takes lines plotted with `label=`.")
    labels = EndLabels(lines, [str(line.get_label()) for line in lines])
    axes.add_artist(labels)
    return labels


def heat_map(
    axes: Axes,
    values: ArrayLike,
    *,
    rows: Sequence[object],
    columns: Sequence[object],
    label: str,
    limits: tuple[float, float] | None = None,
    numbers: bool | None = None,
    diverging: bool = False,
) -> AxesImage:
    """Draw a table of numbers as colours, with a colour bar; the first row is the lowest.

    Parameters
    ----------
    axes : Axes
    values : array of shape (len(rows), len(columns))
    rows, columns : sequence
        What stands beside each row and below each column; numbers are written short.
    label : str
        What the colours measure, with its unit.
    limits : (float, float), optional
        The values at the ends of the colour bar; the smallest and largest unless given.
    numbers : bool, optional
        Whether each cell also says its number; in tables of up to 80 cells unless given. A map
        whose image an explorer moves takes `numbers=False`.
    diverging : bool
        Whether the middle of the limits is a value to depart from.

    Returns
    -------
    AxesImage
        The colours, for `set_data`.

    Raises
    ------
    TypeError, ValueError
        If the values are no finite numbers, or do not fit rows and columns.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    rows, columns = list(rows), list(columns)
    takes = f"finite numbers, {len(rows)} rows and {len(columns)} columns"
    table = checks.as_array("values", values, shape=(len(rows), len(columns)), takes=takes)
    low, high = (table.min(), table.max()) if limits is None else limits
    if not low <= high:
        raise ValueError(f"`limits` is ({low}, {high}); it takes the lower value first.")
    image = axes.imshow(
        table,
        cmap="PuOr" if diverging else "cividis",
        vmin=low,
        vmax=high,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
    )
    axes.set_xticks(range(len(columns)), [_short(column) for column in columns])
    axes.set_yticks(range(len(rows)), [_short(row) for row in rows])
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, label=label)
    bar.outline.set_visible(False)
    if table.size <= MOST_NUMBERS if numbers is None else numbers:
        _write_numbers(axes, image, table)
    return image


def _write_numbers(axes: Axes, image: AxesImage, table: NDArray[np.float64]) -> None:
    """Write each number on its cell, dark on light colours and light on dark ones."""
    red, green, blue, _ = np.moveaxis(image.to_rgba(table), -1, 0)
    light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18
    digits = ".2f" if np.max(np.abs(table)) < 10 else ".2g"  # 0.10 beside 0.95, not 0.1
    for (row, column), value in np.ndenumerate(table):
        color = COLORS["ink"] if light[row, column] else COLORS["paper"]
        number = f"{value:{digits}}"
        axes.text(column, row, number, ha="center", va="center", fontsize=10, color=color)


def _short(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}"
    return str(value)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS_PER_INCH * PRINT_RATIO)
    return file.getvalue()


def _figure_html(picture: bytes, alt: str, caption: str | None, width: int) -> str:
    image = (
        f'<img src="data:image/png;base64,{encoding.base64_text(picture)}" '
        f'alt="{html.escape(alt, quote=True)}" width="{width}" '
        f'style="display:block;max-width:100%;height:auto;outline:1px solid {COLORS["frame"]};'
        f'outline-offset:-1px;background:{COLORS["paper"]}">'
    )
    below = (
        '<figcaption style="font-size:14px;padding-top:4px;'
        f'color:var(--jp-content-font-color1,inherit)">{html.escape(caption)}</figcaption>'
        if caption
        else ""
    )
    return f'<figure style="margin:0">{image}{below}</figure>'


def _close(figure: Figure) -> None:
    """Take the figure out of pyplot's list, or the notebook would show it a second time."""
    import matplotlib.pyplot as plt

    plt.close(figure)
