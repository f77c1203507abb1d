"""Numbers about a flow; no pictures."""
