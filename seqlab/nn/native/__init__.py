"""Kernels in C++ for CPUs: their one build, and their calls on tensors. Each has a plain counterpart in torch."""
