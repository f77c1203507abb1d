"""Devices, processes, signals and files: nothing that knows a flow or a data set."""
