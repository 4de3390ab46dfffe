"""A finished run beside another, repeated by somebody else, and as a crate that says what it is made of."""
