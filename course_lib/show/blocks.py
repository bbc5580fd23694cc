"""A stack of Transformer blocks: what arrives at each matrix, and how alike tokens become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show.style import COLORS, OTHERS, line_style

KERNELS = ("W_Q", "W_K", "W_V", "W_O", "W_1", "W_2")
DASHES = ("-", (0, (6, 1.5)), (0, (3, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (8, 2, 2, 2)))
LOWEST = -18.0  # what is smaller, or 0, is drawn here: it is rounding


class BlockPicture:
    """Gradients by weight matrix on the left, token diversity on the right, for an explorer.

    Parameters
    ----------
    figure : Figure
    depth : int
        The largest number of blocks.
    highest : float
        The power of ten at the upper end of the gradients' axis.

    Attributes
    ----------
    gradients, diversity : Axes
    """

    def __init__(self, figure: Figure, depth: int, *, highest: float = 10.0) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        depth = checks.positive_int("depth", depth)
        self.gradients, self.diversity = figure.subplots(1, 2, width_ratios=[3, 2])
        markers = "osv^DP"
        self._lines = [
            self.gradients.plot(
                [],
                [],
                marker=markers[i],
                linestyle=DASHES[i],
                color=OTHERS[i],
                markersize=4,
                label=KERNELS[i],
            )[0]
            for i in range(len(KERNELS))
        ]
        figure.legend(handles=self._lines, loc="outside lower center", ncols=len(KERNELS))
        self.gradients.set(
            xlim=(0.5, depth + 0.5),
            ylim=(LOWEST - 0.8, highest),
            xlabel="block, from the input",
            ylabel="log₁₀ ‖∂L/∂W‖",
        )
        (self._tokens,) = self.diversity.plot([], [], **line_style("transformer"))
        self.diversity.axhline(0.0, color=COLORS["frame"], linewidth=1.0, zorder=1.0)
        self.diversity.set(
            xlim=(-0.5, depth + 0.5),
            ylim=(LOWEST - 0.8, 1.0),
            xlabel="after block",
            ylabel="log₁₀ of token diversity",
        )
        for axes in (self.gradients, self.diversity):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 5, 10]))

    def update(
        self, kernel_norms: Mapping[str, ArrayLike], diversity: ArrayLike, *, title: str
    ) -> None:
        """Move the lines.

        Parameters
        ----------
        kernel_norms : dict of arrays, shape (blocks,)
            ‖∂𝓛/∂W‖ by block, for W_Q, W_K, W_V, W_O, W_1 and W_2; what is no number leaves a gap.
        diversity : array, shape (blocks + 1,)
            `token_diversity` of h_0 … h_D.
        title : str
            The finding.

        Raises
        ------
        TypeError, ValueError
            If a matrix is missing, or an array has another shape.
        """
        tokens = checks.as_array("diversity", diversity, ndim=1, finite=False)
        blocks = len(tokens) - 1
        for name, line in zip(KERNELS, self._lines, strict=True):
            checks.one_of("kernel_norms", name, list(kernel_norms))
            norms = checks.as_array(
                f"kernel_norms[{name!r}]", kernel_norms[name], shape=(blocks,), finite=False
            )
            line.set_data(np.arange(1, blocks + 1), _height(norms))
        self._tokens.set_data(np.arange(blocks + 1), _height(tokens))
        self.gradients.set_title(title)


def _height(values: NDArray[np.float64]) -> Any:
    """Return log₁₀, not below the rounding; NaN where there is no finite number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.maximum(np.log10(values), LOWEST)
    return np.where(np.isfinite(values), height, np.nan)
