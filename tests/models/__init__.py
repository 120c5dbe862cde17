"""Models of the store's concurrency for the Spin model checker."""
