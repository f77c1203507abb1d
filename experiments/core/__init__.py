"""Shared by two or more commands; never imports a command."""
