"""What training shares over all domains: the Lightning module and data module bases, the callbacks, the trainer."""
