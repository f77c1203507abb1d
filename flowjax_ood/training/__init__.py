"""From batches to checkpoint."""
