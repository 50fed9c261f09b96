"""The house style of figures, and how they are written: as PNG, and as SVG that follows the theme of the reader."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seqlab.files import write_text
from seqlab.show.palette import PALETTE, colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("seqlab.mplstyle")
INK, QUIET, GRID = "#1f2328", "#59636e", "#d9dee4"  # as in the style file
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML 1.0
IN_THE_DARK = {INK: "#e6e9ed", QUIET: "#a3adb8", GRID: "#3a4149", "#000000": "#e6e9ed"}


def log_axis(axes: "Axes", of: Literal["x", "y"]) -> None:
    """Make the axis of x or y logarithmic, with plain numbers at its ticks: matplotlib's own ones are formulas."""
    from matplotlib.ticker import LogFormatter

    axes.set(**{f"{of}scale": "log"})
    axis = axes.xaxis if of == "x" else axes.yaxis
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


@contextmanager
def house_style(model: str = "") -> Iterator[None]:
    """Figures drawn and written inside have the house style; the colour C0 is that of the model, where one is named."""
    import matplotlib as mpl  # lazy: a run draws once, at its end
    from cycler import cycler
    from matplotlib import style

    with style.context(STYLE):
        if model:
            first = colour_of(model)
            others = [colour for colour in PALETTE if colour != first]
            mpl.rcParams["axes.prop_cycle"] = cycler(color=[first, *others])
        yield


def save_figure(figure: "Figure", file: Path) -> Path:
    """Write a figure to FILE.png and FILE.svg. Call it inside `house_style`.

    Args:
        figure: it keeps the layout of its first drawing.
        file: where to; its suffix does not matter.

    Returns:
        The PNG file.

    Raises:
        OSError: a file cannot be written.
    """
    picture = file.with_suffix(".png")
    figure.savefig(picture)
    figure.set_layout_engine("none")
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    write_text(file.with_suffix(".svg"), themed(drawing.getvalue()))
    return picture


def themed(svg: str) -> str:
    """An SVG drawing whose inks turn light where the reader's theme is dark, without what XML has no characters for."""
    rules = "".join(
        f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
        for light, dark in IN_THE_DARK.items()
        for part in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return re.sub(r"<svg\b[^>]*>", lambda found: f"{found[0]}\n {style}", FORBIDDEN.sub("\ufffd", svg), count=1)
