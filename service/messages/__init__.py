"""Messages to people and programs: what is told, how it is written, and how it is sent."""
