"""Where sets come from: one file per source."""
