"""The methods of `Client`, a file for each noun of the API."""
