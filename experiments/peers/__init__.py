"""How fast other libraries do the same: one task, equal shapes, alternating rounds."""
