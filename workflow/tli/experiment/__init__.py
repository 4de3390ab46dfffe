"""The config as an experiment: its grid of runs, where each file lies, its jobs, what can be known before the first one. No torch."""
