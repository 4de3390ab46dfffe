"""A language model, opened whole or block by block, and what is put on it."""
