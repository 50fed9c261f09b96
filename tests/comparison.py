"""What differs between two checkpoints."""

import torch


def differences(a, b, path=""):
    """The places where two checkpoints differ, tensors compared bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [path]
    if isinstance(a, dict) and isinstance(b, dict):
        found = [f"{path}/{key}" for key in a.keys() ^ b.keys()]
        return found + [place for key in a.keys() & b.keys() for place in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [place for i, pair in enumerate(zip(a, b, strict=True)) for place in differences(*pair, f"{path}/{i}")]
    return [] if a == b else [path]
