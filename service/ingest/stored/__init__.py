"""What a spec needs to know of a stored file beyond its report, asked of the process that reads files."""
