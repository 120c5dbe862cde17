"""What the people who work on csp run; no part of the package."""
