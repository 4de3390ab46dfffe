"""Every key of a config with its meaning and its default, a file for the sections that belong together.

The models below are the one source of the config's reference (config/README.md) and of its JSON schema
(workflow/schemas/config.schema.json); a test holds the three together. What a whole config is: `top_level`.
"""
