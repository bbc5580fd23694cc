"""Pictures in the house style, explorers and tables."""

from course_lib.show.explore import Explorer, choice, explore, integers, log_slider, slider, toggle
from course_lib.show.pictures import end_labels, figure, gradient_axes, gradient_picture
from course_lib.show.style import COLORS, DASHES, MARKERS, house_style, use_house_style
from course_lib.show.tables import note, table

__all__ = [
    "COLORS",
    "DASHES",
    "MARKERS",
    "Explorer",
    "choice",
    "end_labels",
    "explore",
    "figure",
    "gradient_axes",
    "gradient_picture",
    "house_style",
    "integers",
    "log_slider",
    "note",
    "slider",
    "table",
    "toggle",
    "use_house_style",
]
