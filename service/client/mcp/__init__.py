"""`saddle mcp`: questions and commands as tools of the Model Context Protocol, under a person's own key."""
