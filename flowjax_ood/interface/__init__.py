"""What all commands share: options, errors, text and pages."""
