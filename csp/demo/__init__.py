"""The demonstration: the main job of csp, shown on real input in one go."""
