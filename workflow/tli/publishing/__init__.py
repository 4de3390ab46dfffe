"""From a finished run to a paper and a hub."""
