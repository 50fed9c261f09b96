"""An example of a plug-in of SeqLab. Copy it, and change the names."""
