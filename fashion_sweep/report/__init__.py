"""What a run found out, for people: numbers, one sentence, tables, plots, the sample grid, the page, the live table."""
