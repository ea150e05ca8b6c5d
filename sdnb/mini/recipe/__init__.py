"""How the mini model, its judge and its captioner were made, and measured before they shipped."""
