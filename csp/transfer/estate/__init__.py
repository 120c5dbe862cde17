"""Makes up a contact centre of any size: data in csp's form, the same for the same seed."""
