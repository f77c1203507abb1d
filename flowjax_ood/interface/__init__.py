"""What commands need to speak with who runs them: options, errors, text, pages."""
