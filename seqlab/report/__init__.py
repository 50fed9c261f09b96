"""Tables and plots over many runs. Independent of the domain: it reads metric names like test/<group>/<metric>."""
