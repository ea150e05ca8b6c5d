"""The loop, and what differs between the methods."""
