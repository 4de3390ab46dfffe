"""What is asked of a subject: words of a list at hidden states, sentences, tasks of the lm-evaluation-harness."""
