"""One file a step, named by its number; a step never changes once it was released."""
