"""RADIUS: asks servers whether a password is a user's."""
