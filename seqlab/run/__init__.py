"""A run is one thing: its directory, configuration, command line, construction, training and evaluation."""
