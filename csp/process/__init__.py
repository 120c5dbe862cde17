"""What the processes of one server share besides memory: their contexts, contracts, channels."""
