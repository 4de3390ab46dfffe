"""How a job is wrapped, wherever it was started: its log, threads, cards, provenance, and what the terminal shows."""
