"""A run: its directory, configuration, command line, construction, training and evaluation."""
