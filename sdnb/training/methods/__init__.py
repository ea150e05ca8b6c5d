"""What learns: a method is one module here, and one entry in the table of `base`."""
