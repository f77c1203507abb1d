"""Commands and configs that re-live the paper: `python -m experiments COMMAND`."""
