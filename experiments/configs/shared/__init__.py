"""What several experiment configs share."""
