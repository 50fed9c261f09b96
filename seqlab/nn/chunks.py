"""Cuts sequences into chunks, for recurrences that are matrix products inside a chunk."""

from torch import Tensor
from torch.nn.functional import pad

# B batch, T time, H heads, D width, M chunks of S steps

CHUNK = 64  # most steps of a chunk: the work in a chunk grows with their square


def in_chunks(x_BTHD: Tensor) -> Tensor:
    """(M, B, H, S, D): as few chunks as can be, of equal length, with zeros behind the last step."""
    time = x_BTHD.shape[1]
    number = -(-time // CHUNK)
    size = -(-time // number)
    padded = pad(x_BTHD, (0, 0, 0, 0, 0, number * size - time))
    return padded.unflatten(1, (number, size)).permute(1, 0, 3, 2, 4)


def from_chunks(x_MBHSD: Tensor, time: int) -> Tensor:
    """(B, T, H, D), without what is behind the last step."""
    return x_MBHSD.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :time]
