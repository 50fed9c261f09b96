"""One colour for each model in every figure, from a palette that colour-blind readers can tell apart."""

from zlib import crc32

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is pale on white. Grey and brown are added:
# their lightness differs from that of the others.
BLUE, VERMILION, GREEN, PINK, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GREY, BROWN = "#7A7A7A", "#7B4B24"
PALETTE = (BLUE, VERMILION, GREEN, PINK, SKY, ORANGE, BROWN, GREY)
OF_MODEL = {  # there are more models than colours: those of one colour are seldom in one figure
    "transformer": BLUE, "lstm": VERMILION, "mamba": GREEN, "deltanet": PINK, "mamba2": SKY, "xlstm": ORANGE,
    "deep_lstm": BROWN, "linear": GREY, "gru": BROWN, "rnn": GREY, "mlstm": ORANGE, "slstm": ORANGE,
}  # fmt: skip
MARKERS = "osD^vPX*p<>hd8"  # for lines of one colour, and for baselines, which are grey
DASHES = ((), (6, 2), (2, 2), (6, 2, 2, 2), (10, 3), (1, 3))  # points; for lines that may coincide


def colour_of(label: str) -> str:
    """The colour of a model, by the first word of its label; settings and variants of a model share it.

    >>> colour_of("lstm optimizer.lr=0.1") == colour_of("lstm") != colour_of("transformer")
    True
    """
    name = (label.split() or [""])[0]
    known = [model for model in OF_MODEL if name == model or name.startswith(f"{model}_")]
    return OF_MODEL[max(known, key=len)] if known else PALETTE[crc32(name.encode()) % len(PALETTE)]
