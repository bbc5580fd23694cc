"""The house style: one colour and one marker per thing for the whole course, on light paper."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.patheffects import Normal, Stroke
from matplotlib.rcsetup import cycler

from course_lib import checks

# The eight colours of Okabe and Ito (2008, "Color Universal Design"), which readers with every
# common kind of colour vision can tell apart. Never colour alone: MARKERS and DASHES go with them.
YELLOW = "#F0E442"
COLORS: dict[str, str] = {
    "rnn": "#D55E00",
    "lstm": "#0072B2",
    "gru": "#009E73",
    "transformer": "#CC79A7",
    "sigmoid": "#E69F00",
    "tanh": "#56B4E9",
    "relu": "#222222",
    # The rest of the feed-forward family: yellow with a dark edge, told apart by marker and dash.
    "leaky_relu": YELLOW,
    "prelu": YELLOW,
    "elu": YELLOW,
    "gelu": YELLOW,
    "linear": YELLOW,
    "theory": "#8A8A8A",
    "limit": "#555555",
    "ink": "#222222",
    "paper": "#FDFCF8",
    "frame": "#D8D5CC",
}

MARKERS: dict[str, str] = {
    "rnn": "o",
    "lstm": "s",
    "gru": "^",
    "transformer": "D",
    "sigmoid": "o",
    "tanh": "s",
    "relu": "^",
    "leaky_relu": "v",
    "prelu": "P",
    "elu": "D",
    "gelu": "X",
    "linear": "*",
    "theory": "",
}

DASHES: dict[str, str | tuple[int, tuple[float, ...]]] = {
    "rnn": "-",
    "lstm": (0, (6, 1.5)),
    "gru": (0, (3, 1.5)),
    "transformer": (0, (6, 1.5, 1, 1.5)),
    "sigmoid": "-",
    "tanh": (0, (6, 1.5)),
    "relu": (0, (3, 1.5)),
    "leaky_relu": (0, (1, 1)),
    "prelu": (0, (6, 1.5, 1, 1.5)),
    "elu": (0, (8, 2, 2, 2)),
    "gelu": (0, (4, 1, 1, 1, 1, 1)),
    "linear": "-",
    "theory": "-",
    "limit": (0, (5, 4)),
}

# What has no colour of its own takes these, in this order.
OTHERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")

# Pixels per inch on the page at a device pixel ratio of 1: 7 x 3.5 in are 700 x 350 CSS pixels.
PIXELS_PER_INCH = 100

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["ink"],
    "axes.facecolor": COLORS["paper"],
    "axes.labelcolor": COLORS["ink"],
    "axes.labelsize": 10.5,
    "axes.prop_cycle": cycler(color=OTHERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLORS["ink"],
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "figure.dpi": PIXELS_PER_INCH,
    "figure.facecolor": COLORS["paper"],
    "figure.figsize": (7.0, 3.5),
    "figure.titlesize": 12,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "grid.alpha": 1.0,
    "grid.color": "#E9E6DD",
    "grid.linewidth": 0.6,
    "image.cmap": "cividis",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "path",
    "svg.hashsalt": "course",
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["ink"],
    "xtick.labelsize": 10,
    "ytick.color": COLORS["ink"],
    "ytick.labelsize": 10,
}


def line_style(name: str) -> dict[str, object]:
    """Return the keyword arguments of `Axes.plot` for one thing of the course.

    Parameters
    ----------
    name : str
        A name in `MARKERS`: an architecture, an activation, or "theory".

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    checks.one_of("name", name, MARKERS)
    style: dict[str, object] = {
        "color": COLORS[name],
        "marker": MARKERS[name],
        "linestyle": DASHES[name],
    }
    if name == "theory":
        style |= {"linewidth": 1.0, "zorder": 1.5}
    if COLORS[name] == YELLOW:  # too light for paper by itself
        style |= {
            "path_effects": [Stroke(linewidth=3.0, foreground=COLORS["ink"]), Normal()],
            "markeredgewidth": 0.0,
        }
    return style


def use_house_style() -> None:
    """Make every figure from here on follow the house style."""
    mpl.rcParams.update(STYLE)


@contextmanager
def house_style() -> Iterator[None]:
    """Follow the house style inside a `with` block, whatever the notebook has set."""
    before = {name: mpl.rcParams[name] for name in STYLE}  # half the cost of `mpl.rc_context`
    mpl.rcParams.update(STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)
