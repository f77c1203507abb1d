"""What two or more commands need; never imports a command."""
