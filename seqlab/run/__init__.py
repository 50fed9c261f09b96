"""A run: its directory, configuration, command line, construction, training and evaluation."""

from seqlab.deferred import defer

defer()  # before any module here imports Lightning
