"""A trained model to take home: its weights, the program that rebuilds it, and its card."""
