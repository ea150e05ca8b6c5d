"""Diagrams that lessons draw: what a training is made of."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

COLOURS = {"": "none", "frozen": "#dfe3e8", "train": "#ffc46b", "saved": "#a9dfb4"}


def flow_chart(
    boxes: Sequence[tuple[float, float, str, str, tuple[float, float] | None]],
) -> Figure:
    """Boxes with arrows between them, 10 units wide. Each box is (x, y, words, state, target): its
    middle; what stands in it; "frozen", "train", "saved" or "", which is written below the words
    and gives the colour; and where its arrow points, None for no arrow."""
    heights = [y for _, y, *_ in boxes]
    bottom, top = min(heights) - 0.5, max(heights) + 0.6
    figure, axes = plt.subplots(figsize=(9, 0.9 * (top - bottom)))
    axes.axis((0, 10, bottom, top))
    axes.set_axis_off()
    for x, y, words, state, target in boxes:
        axes.annotate(
            f"{words}\n{state}".strip(),
            target or (x, y),
            (x, y),
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.6", "facecolor": COLOURS[state], "edgecolor": "none"},
            arrowprops={"arrowstyle": "->"} if target else None,
        )
    plt.close(figure)  # returned, so that it is shown once
    return figure
