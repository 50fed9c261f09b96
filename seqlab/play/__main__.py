"""Play with trained runs on a local page: seqlab play RUN [RUN ...]

One to four runs side by side. Type a prompt: each run's answer, its distribution at each step, the rules that can
still be kept, completions with what is wrong marked. The second tab shows attention and states. Needs Gradio:
pip install 'seqlab[play]'. The page answers this machine alone (127.0.0.1) and asks nothing of any other.
"""

import argparse
import socket
import sys
from collections.abc import Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError, refuse_bytes
from seqlab.output import take_any_text
from seqlab.waiting import waiting

HOST = "127.0.0.1"
MOST_RUNS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve the page until Ctrl-C. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab play", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="run", help="a run directory (or a checkpoint file); up to four")
    parser.add_argument("--port", type=int, default=7860, help="of the page; 0: any that is free (default: 7860)")
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    options = parser.parse_args(arguments)
    try:
        play(options.runs, options.checkpoint, options.port)
    except KeyboardInterrupt:  # the way to end it
        return 0
    except Exception as error:
        return tell(error)
    return 0


def play(runs: Sequence[str], checkpoint: str, port: int) -> None:
    """Load some runs and serve the page.

    Args:
        runs: one to four run directories or checkpoint files.
        checkpoint: file in each run's checkpoints.
        port: of the page; 0: any that is free.

    Raises:
        InputError: too many runs, one that does not load, a port that is taken, or Gradio is missing.
    """
    if len(runs) > MOST_RUNS:
        raise InputError(f"{len(runs)} runs: at most {MOST_RUNS} stand side by side")
    for run in runs:
        refuse_bytes(run)
    place = bound(port)  # before the wait for torch
    try:
        with waiting("loading"):
            try:
                from seqlab.play.page import application  # imports torch and Gradio: here, so that --help is quick
            except ModuleNotFoundError as error:
                raise InputError(f"seqlab play needs {error.name}: pip install 'seqlab[play]'") from error
            from seqlab.play.looks import Looked

            app = application([Looked.load(run, checkpoint) for run in runs])
        started()
        import uvicorn

        print(f"http://{HOST}:{place.getsockname()[1]}   (Ctrl-C ends it)", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[place])
    finally:
        place.close()


def bound(port: int) -> socket.socket:
    """A socket at a port of this machine, which no other machine reaches.

    Raises:
        InputError: there is no such port, or it is taken.
    """
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((HOST, port))
    except (OSError, OverflowError) as error:
        place.close()
        reason = error.strerror if isinstance(error, OSError) else "ports are 0 to 65535"
        raise InputError(f"--port {port}: {reason}; --port 0 takes one that is free") from error
    return place


if __name__ == "__main__":
    sys.exit(main())
