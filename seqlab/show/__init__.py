"""Tables as a terminal shows them, and the table and plots of one run."""
