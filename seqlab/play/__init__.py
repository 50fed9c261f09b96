"""A local page on which one prompt is given to up to four runs: what each answers, and what goes on inside it."""
