"""Numbers, differences, anchors and the two heads of integers the plain way: Python loops over terms and values."""

import math

import torch

DIFFERENCES = [
    lambda x, t: x[t] - x[t - 1] if t >= 1 else None,
    lambda x, t: x[t] - 2 * x[t - 1] + x[t - 2] if t >= 2 else None,
    lambda x, t: x[t] - x[t - 2] if t >= 2 else None,
    lambda x, t: x[t] - x[t - 3] if t >= 3 else None,
    lambda x, t: x[t] - x[t - 4] if t >= 4 else None,
    lambda x, t: x[t] - 2 * x[t - 1] if t >= 1 else None,
    lambda x, t: x[t] - x[t - 1] - x[t - 2] if t >= 2 else None,
]
ANCHORS = [
    lambda x, t: x[t],
    lambda x, t: x[t - 1] if t >= 1 else None,
    lambda x, t: 2 * x[t] - x[t - 1] if t >= 1 else None,
    lambda x, t: 2 * x[t],
    lambda x, t: -x[t],
    lambda x, t: x[t - 2] if t >= 2 else None,
    lambda x, t: x[t] + x[t - 1] if t >= 1 else None,
    lambda x, t: x[t - 3] if t >= 3 else None,
]


def features(value, size, bits):
    """What is known about one integer: a list of numbers."""
    waves = sorted({k for j in range(20) for k in (2**j, 3 * 2**j) if k <= max(1, size / 2)})
    known = [math.sin(2 * math.pi * k * value / size) for k in waves]
    known += [math.cos(2 * math.pi * k * value / size) for k in waves]
    for modulus in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16):
        known += [float(value % modulus == residue) for residue in range(modulus)]
    known += [float(value // 2**place % 2) for place in range(bits)]
    sign = (value > 0) - (value < 0)
    return [*known, value / size, math.tanh(value / 16), float(sign), sign * math.log1p(abs(value)) / math.log1p(size)]


def candidates(x, t, look_back):
    """[[value or None for each anchor and each anchor plus its earlier residuals]] of the term after x[t]."""
    rows = []
    for anchor in ANCHORS:
        now, row = anchor(x, t), []
        for back in range(look_back + 1):
            step = t + 1 - back  # the term whose residual is added
            before = anchor(x, step - 1) if back and step >= 1 else None
            if now is None or (back and before is None):
                row.append(None)
            else:
                row.append(now + (x[step] - before if back else 0))
        rows.append(row)
    return rows


def relative_logits(weights, scale, frequencies, anchors, size):
    """sum over anchors and frequencies of scale Re(w exp(i theta A) exp(-i theta y)) for each y: a list.

    weights[a][k] complex; anchors: integers, a missing term counted as 0.
    """
    logits = []
    for y in range(size):
        total = 0.0
        for row, anchor in zip(weights, anchors, strict=True):
            for w, s, k in zip(row, scale, frequencies, strict=True):
                angle = 2 * math.pi * k * (anchor - y) / size
                total += s * (w * complex(math.cos(angle), math.sin(angle))).real
        logits.append(total)
    return logits


def mixture(logits, scores, values):
    """Probabilities of each y: candidates (a value, or None) weighed by scores, the last score that of the logits."""
    size = len(logits)
    possible = [value is not None and 0 <= value < size for value in values] + [True]
    raw = [math.exp(score) if fine else 0.0 for score, fine in zip(scores, possible, strict=True)]
    shares = [part / sum(raw) for part in raw]
    own = torch.tensor(logits, dtype=torch.float64).softmax(0).tolist()
    return [
        shares[-1] * own[y] + sum(w for w, value in zip(shares, values, strict=False) if value == y)
        for y in range(size)
    ]
