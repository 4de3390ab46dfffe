"""What lies on the disk: the tables' contract, finished units of work, everything written whole or not at all."""
