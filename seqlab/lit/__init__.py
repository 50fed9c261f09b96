"""Training code shared by all domains: base classes for the Lightning module and data module, callbacks, trainer."""
