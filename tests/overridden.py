"""A composed configuration with another value."""


def with_value(config, key, value):
    """The configuration with one dotted key set."""
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config
