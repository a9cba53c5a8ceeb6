"""The real binary, through real HTTP: what a stranger may rely on. See conftest.py for how it is run."""
