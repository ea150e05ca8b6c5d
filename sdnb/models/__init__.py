"""Base models: the table of them, told apart, loaded, spoken to and saved."""
