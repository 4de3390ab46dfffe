"""One training run, the seeds of a cell together, and the cell that holds them."""
