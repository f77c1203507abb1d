"""Keys and recipes that several experiments share."""
