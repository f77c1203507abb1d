"""Save and restore through orbax; find damage before it is read."""
