"""Targeted Lexical Injection: do a language model's hidden states align the words of two languages?"""
