"""Owns the database: the origin of every change, its rules and its history."""
