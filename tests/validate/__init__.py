"""Histories of real clients under blows, and the validators that judge them."""
