"""Targeted Lexical Injection: do a language model's hidden states align the words of two languages?"""

__version__ = "0.2.0"
