"""The process that checks passwords."""
