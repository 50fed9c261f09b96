"""The ways in which a command ends badly on purpose. seqlab/cli.py says each in one line."""

import signal


class InputError(ValueError):
    """Bad input: a value that a user set is unknown, of the wrong type, out of range, or does not fit another."""


class NonFiniteError(RuntimeError):
    """The loss or the gradient is NaN or infinite."""


class Interrupted(BaseException):
    """A signal ended the training, with last.ckpt written. Like KeyboardInterrupt, it also ends a sweep."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"{signal.Signals(signum).name} at step {step}; last.ckpt is saved")
        self.signum = signum
