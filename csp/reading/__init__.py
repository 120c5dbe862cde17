"""The reading process of a master: answers what reads much of the database, beside the writer."""
