"""Attention weights and norms of states as one figure."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from seqlab.play.looks import Inside
from seqlab.show.style import house_style


def picture(inside: Inside) -> str:
    """The address (data:) of a figure as SVG; empty if there is nothing to draw."""
    from matplotlib.figure import Figure  # here, because it takes a second

    there = [part for part in (inside.attention, inside.norms) if part]
    if not there:
        return ""
    with house_style(), io.BytesIO() as file:
        figure = Figure(figsize=(7, 5 * len(there)), layout="constrained")
        axes = iter(figure.subplots(len(there), squeeze=False)[:, 0])
        if inside.attention:
            draw_attention(next(axes), inside.attention)
        if inside.norms:
            draw_norms(next(axes), inside.norms)
        figure.savefig(file, format="svg", metadata={"Date": None})
        return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def draw_attention(axes: Any, attention: Mapping[str, Tensor]) -> None:
    """Tiles, a row for each layer, a column for each head. In each, a row is a step, and a column what it reads."""
    steps, heads = next(iter(attention.values())).shape[-1], max(len(maps) for maps in attention.values())
    whole = np.full((len(attention) * (steps + 1) - 1, heads * (steps + 1) - 1), np.nan)
    for row, maps in enumerate(attention.values()):
        for column, tile in enumerate(maps.float().numpy()):
            top, left = row * (steps + 1), column * (steps + 1)
            whole[top : top + steps, left : left + steps] = tile
    axes.imshow(whole, vmin=0, vmax=1, interpolation="nearest")
    axes.grid(False)
    middle = (steps - 1) / 2
    axes.set_xticks([place * (steps + 1) + middle for place in range(heads)], [str(head + 1) for head in range(heads)])
    axes.set_yticks([place * (steps + 1) + middle for place in range(len(attention))], range(1, len(attention) + 1))
    axes.set(xlabel="head", ylabel="layer", title="attention: each row of a tile is a step, its columns what it reads")


def draw_norms(axes: Any, norms: Mapping[str, Tensor]) -> None:
    """A line for each part of the state."""
    for name, values in norms.items():
        axes.plot(range(1, len(values) + 1), values.tolist(), marker=".", label=name)
    axes.set(xlabel="steps read", ylabel="Euclidean norm", title="norms of the state")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
