"""Terminal tables, and the table and plots of one run."""
