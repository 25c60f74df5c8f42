"""What a `Client` offers for studies."""
