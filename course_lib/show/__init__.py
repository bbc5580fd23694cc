"""Pictures in the house style, explorers and tables."""

from course_lib.show.attention import AlignmentPicture, ClockPicture, SharpnessPicture
from course_lib.show.blocks import BlockPicture
from course_lib.show.chart import LOOKS, ChartPicture, chart
from course_lib.show.clipping import AnglePicture, ClipPicture, WallPicture
from course_lib.show.explore import Explorer, choice, explore, integers, log_slider, slider, toggle
from course_lib.show.gates import GatePicture, MemoryPicture, gate_style
from course_lib.show.gradients import (
    GradientPicture,
    gradient_axes,
    gradient_picture,
    underflow_line,
)
from course_lib.show.live import Live, LivePicture, live
from course_lib.show.paths import (
    PathPicture,
    RacePicture,
    StepPicture,
    lowest_at_the_end,
    path_styles,
)
from course_lib.show.pictures import figure, heat_map, label_ends
from course_lib.show.report import report
from course_lib.show.spectrum import BoundedPicture, SpectrumPicture
from course_lib.show.style import (
    COLORS,
    DASHES,
    MARKERS,
    house_style,
    line_style,
    use_house_style,
)
from course_lib.show.tables import note, table
from course_lib.show.theory import FanPicture, TheoryPicture, UpDownPicture, theory_lines
from course_lib.show.units import BendPicture, ResidualPicture, SharePicture, bend_panels
from course_lib.show.unrolled import TermsPicture, UnrolledPicture
from course_lib.show.witnesses import WitnessPicture
from course_lib.show.writing import WritingPicture

__all__ = [
    "COLORS",
    "DASHES",
    "LOOKS",
    "MARKERS",
    "AlignmentPicture",
    "AnglePicture",
    "BendPicture",
    "BlockPicture",
    "BoundedPicture",
    "ChartPicture",
    "ClipPicture",
    "ClockPicture",
    "Explorer",
    "FanPicture",
    "GatePicture",
    "GradientPicture",
    "Live",
    "LivePicture",
    "MemoryPicture",
    "PathPicture",
    "RacePicture",
    "ResidualPicture",
    "SharePicture",
    "SharpnessPicture",
    "SpectrumPicture",
    "StepPicture",
    "TermsPicture",
    "TheoryPicture",
    "UnrolledPicture",
    "UpDownPicture",
    "WallPicture",
    "WitnessPicture",
    "WritingPicture",
    "bend_panels",
    "chart",
    "choice",
    "explore",
    "figure",
    "gate_style",
    "gradient_axes",
    "gradient_picture",
    "heat_map",
    "house_style",
    "integers",
    "label_ends",
    "line_style",
    "live",
    "log_slider",
    "lowest_at_the_end",
    "note",
    "path_styles",
    "report",
    "slider",
    "table",
    "theory_lines",
    "toggle",
    "underflow_line",
    "use_house_style",
]
