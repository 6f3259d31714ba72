"""The report of a run for people: numbers, one sentence, tables, plots, the sample grid, the page, the live table."""
