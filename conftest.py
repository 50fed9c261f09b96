"""What pytest leaves out here: the examples of modules that import an extra which is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("gradio") else ["seqlab/play/page.py"]
