"""What server admins see and change in all projects, and copies of the whole database."""
